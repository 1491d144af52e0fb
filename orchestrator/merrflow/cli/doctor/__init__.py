"""`merrflow doctor`: what this machine lacks for the chosen engines, and what to do about it.

A check is a function from `Situation` to findings; each file has those of one group, `groups.py` has their order.
"""

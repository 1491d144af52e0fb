"""Claims: a text is split into clauses, and judges say of each whether the clip's clues bear it out.

`judge.py` is the interface, `rules.py` and `model.py` are two judges, `split.py` makes claims of a text.
"""

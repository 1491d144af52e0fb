"""The witnesses of a label, one file each. Each says for, against or nothing; `stages/standing.py` weighs them.

A witness is a pure function `(Case, Witnesses) -> Vote`. What it knows is in `Case`, its weights and thresholds are in
`stages/witnesses.yaml`.
"""

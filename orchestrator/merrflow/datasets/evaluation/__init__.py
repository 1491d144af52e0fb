"""Measures a run, or a rule set alone, against MERR's annotations. docs/evaluation.md explains each measure."""

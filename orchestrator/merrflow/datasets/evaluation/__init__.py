"""Measures a run, or a rule set alone, against MERR's annotations. What each measure tells: docs/evaluation.md."""

"""Measurements, run by hand: `python -m benchmarks.<name>` from the top of the repository. See README.md here."""

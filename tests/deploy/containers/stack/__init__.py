"""A package, so that the stack of `conftest.py` ends with the last test that uses it."""

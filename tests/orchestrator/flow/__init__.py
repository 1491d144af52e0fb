"""A package, so that what `conftest.py` shares ends with the folder's last test and not with all tests."""

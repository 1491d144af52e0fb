"""The version of this package, which every output file was written by."""

__version__ = "0.1.0"

"""The command `merrflow`."""

from merrflow.cli.entry import main

__all__ = ["main"]

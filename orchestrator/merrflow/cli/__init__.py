"""The command `merrflow`."""

from merrflow.cli.app import main

__all__ = ["main"]

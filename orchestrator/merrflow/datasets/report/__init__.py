"""`report.html`: one page that shows every clip of a run with its evidence, and opens without a network."""

from merrflow.datasets.report.build import write_report

__all__ = ["write_report"]

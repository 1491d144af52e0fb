"""Curation: filters over a run's records, each with its reasons and counts. See docs/curation.md."""

from merrflow.datasets.curation.result import Curation, read_curation

__all__ = ["Curation", "read_curation"]

"""Curation: filters over a run's records, each with its reasons and counts. See docs/curation.md.

A filter is a subclass of `Filter`, or of `ClipFilter`, which judges each clip by itself.
"""

from merrflow.datasets.curation.base import ClipFilter, Filter, Verdict
from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.result import Curation, read_curation
from merrflow.datasets.curation.rules import FilterRules, Shared

__all__ = ["Candidate", "ClipFilter", "Curation", "Filter", "FilterRules", "Shared", "Verdict", "read_curation"]

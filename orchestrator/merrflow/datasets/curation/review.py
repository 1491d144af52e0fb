"""Filter for clips that people rejected in `merrflow review`."""

from __future__ import annotations

from merrflow.datasets.curation.base import ClipFilter
from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.rules import FilterRules


class RejectedByPeople(ClipFilter[FilterRules]):
    """What most reviewers of a clip said; if as many kept as rejected it, the last of them."""

    name = "review"
    about = "people rejected the clip (merrflow review)"

    def knows(self, clip: Candidate) -> bool:
        return clip.rejected is not None

    def reason(self, clip: Candidate) -> str | None:
        return clip.rejected or None

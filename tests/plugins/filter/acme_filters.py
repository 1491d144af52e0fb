"""A curation filter that another distribution adds."""

from __future__ import annotations

from pydantic import Field

from merrflow.datasets.curation import Candidate, ClipFilter, FilterRules


class TooShortRules(FilterRules):
    """Its section of curation.yaml."""

    least_seconds: float = Field(1.0, ge=0)


class TooShort(ClipFilter[TooShortRules]):
    """Clips in which an expression has no time to unfold."""

    name = "too_short"
    about = "the clip is shorter than `least_seconds`"
    rules_type = TooShortRules
    after = "quality"

    def knows(self, clip: Candidate) -> bool:
        return clip.seconds > 0

    def reason(self, clip: Candidate) -> str | None:
        least = self.rules.least_seconds
        return f"{clip.seconds:g} s long, below {least:g}" if clip.seconds < least else None

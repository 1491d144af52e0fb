"""Filter for clips whose label other witnesses contradict, or, by setting, do not confirm."""

from __future__ import annotations

from typing import Literal

from merrflow.core.labels import Verdict
from merrflow.datasets.curation.base import ClipFilter
from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.rules import FilterRules


class StandingRules(FilterRules):
    keep: Literal["not_contradicted", "confirmed"]


class ByStanding(ClipFilter[StandingRules]):
    """The label's standing, as the run found it."""

    name = "standing"
    about = "independent witnesses contradict the label (by setting also: do not confirm it)"
    rules_type = StandingRules

    def knows(self, clip: Candidate) -> bool:
        return bool(clip.standing)

    def reason(self, clip: Candidate) -> str | None:
        kept = {Verdict.CONFIRMED} if self.rules.keep == "confirmed" else {Verdict.CONFIRMED, Verdict.UNDETERMINED}
        return None if clip.standing in kept else f"{clip.label} is {clip.standing}: {clip.standing_reason}"

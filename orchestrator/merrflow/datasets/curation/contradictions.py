"""Filters for clips whose clues contradict each other. A clue that is not there contradicts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from merrflow.datasets.curation.base import ClipFilter
from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.config import DistributionRules, ModalityRules, SupportRules, ToneRules, Valence

MODALITIES = ("face", "voice", "words")


def opposite(one: str, other: str, valence: Mapping[str, Valence]) -> bool:
    """Whether one label is positive and the other negative; a label that is not in the set is neither."""
    return {valence.get(one), valence.get(other)} == {"positive", "negative"}


@dataclass(frozen=True)
class AgainstDistribution(ClipFilter):
    """The reasoning model, given all clues, is sure of another label."""

    rules: DistributionRules
    valence: Mapping[str, Valence]
    name = "distribution"

    def knows(self, clip: Candidate) -> bool:
        return "all" in clip.tops and clip.own is not None

    def reason(self, clip: Candidate) -> str | None:
        top, probability = clip.tops["all"]
        sure = top != clip.label and probability >= self.rules.top_at_least and clip.own <= self.rules.own_at_most
        if not sure or (self.rules.opposite_only and not opposite(top, clip.label, self.valence)):
            return None
        return f"labelled {clip.label} ({clip.own:.0%} by all clues), while the clues say {top} ({probability:.0%})"


@dataclass(frozen=True)
class ModalitiesApart(ClipFilter):
    """Two modalities alone are each sure of labels of opposite valence."""

    rules: ModalityRules
    valence: Mapping[str, Valence]
    name = "modalities"

    def knows(self, clip: Candidate) -> bool:
        return sum(clues in clip.tops for clues in MODALITIES) > 1

    def reason(self, clip: Candidate) -> str | None:
        tops = [(clues, *clip.tops[clues]) for clues in MODALITIES if clues in clip.tops]
        sure = [top for top in tops if top[2] >= self.rules.top_at_least]
        for (clues, label, share), (others, other, other_share) in combinations(sure, 2):
            if opposite(label, other, self.valence):
                return f"the {clues} alone says {label} ({share:.0%}), the {others} alone {other} ({other_share:.0%})"
        return None


@dataclass(frozen=True)
class Unsupported(ClipFilter):
    """A label given by a table or a model that the peak's Action Units do not support."""

    rules: SupportRules
    neutral: str
    name = "support"

    def knows(self, clip: Candidate) -> bool:
        return clip.label_source == "rules" or clip.supported is not None

    def reason(self, clip: Candidate) -> str | None:
        if clip.label_source == "rules" or clip.supported:
            return None
        if self.rules.drop == "another" and clip.ruled in ("", clip.label, self.neutral):
            return None
        rather = f"; by them it is {clip.ruled}" if clip.ruled else ""
        return f"{clip.label}, given by a {clip.label_source}, is not supported by the peak's Action Units{rather}"


@dataclass(frozen=True)
class ToneContradicted(ClipFilter):
    """A tone sentence that measurement contradicts."""

    rules: ToneRules
    name = "tone"

    def knows(self, clip: Candidate) -> bool:
        return clip.claims_measured > 0

    def reason(self, clip: Candidate) -> str | None:
        wrong, measured = len(clip.claims), clip.claims_measured
        if wrong < self.rules.contradicted_at_least or wrong < self.rules.share_at_least * measured:
            return None
        return f"{wrong} of {measured} claims about the voice are contradicted: {'; '.join(clip.claims)}"

"""Filters for clips whose clues contradict each other. A clue that is not there contradicts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Annotated, Literal

from pydantic import Field

from merrflow.datasets.curation.base import ClipFilter
from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.rules import FilterRules, Share, Valence

MODALITIES = ("face", "voice", "words")


class DistributionRules(FilterRules):
    top_at_least: Share
    own_at_most: Share
    opposite_only: bool


class ModalityRules(FilterRules):
    top_at_least: Share


class SupportRules(FilterRules):
    drop: Literal["unsupported", "another"]


class ToneRules(FilterRules):
    contradicted_at_least: Annotated[int, Field(ge=1)]
    share_at_least: Share


def opposite(one: str, other: str, valence: Mapping[str, Valence]) -> bool:
    """Whether one label is positive and the other negative; a label that is not in the set is neither."""
    return {valence.get(one), valence.get(other)} == {"positive", "negative"}


class AgainstDistribution(ClipFilter[DistributionRules]):
    """The reasoning model, given all clues, is sure of another label."""

    name = "distribution"
    about = "the reasoning model, given all clues, is sure of a label of opposite valence"
    rules_type = DistributionRules

    def knows(self, clip: Candidate) -> bool:
        return "all" in clip.tops and clip.own is not None

    def reason(self, clip: Candidate) -> str | None:
        own = clip.own or 0.0  # it is known
        top, probability = clip.tops["all"]
        sure = top != clip.label and probability >= self.rules.top_at_least and own <= self.rules.own_at_most
        if not sure or (self.rules.opposite_only and not opposite(top, clip.label, self.shared.valence)):
            return None
        return f"labelled {clip.label} ({own:.0%} by all clues), while the clues say {top} ({probability:.0%})"


class ModalitiesApart(ClipFilter[ModalityRules]):
    """Two modalities alone are each sure of labels of opposite valence."""

    name = "modalities"
    about = "two of face, voice and words alone are sure of labels of opposite valence"
    rules_type = ModalityRules

    def knows(self, clip: Candidate) -> bool:
        return sum(clues in clip.tops for clues in MODALITIES) > 1

    def reason(self, clip: Candidate) -> str | None:
        tops = [(clues, *clip.tops[clues]) for clues in MODALITIES if clues in clip.tops]
        sure = [top for top in tops if top[2] >= self.rules.top_at_least]
        for (clues, label, share), (others, other, other_share) in combinations(sure, 2):
            if opposite(label, other, self.shared.valence):
                return f"the {clues} alone says {label} ({share:.0%}), the {others} alone {other} ({other_share:.0%})"
        return None


class Unsupported(ClipFilter[SupportRules]):
    """A label given by a table or a model that the peak's Action Units do not support."""

    name = "support"
    about = "the label came from a table or a model, and the Action Units give another"
    rules_type = SupportRules

    def knows(self, clip: Candidate) -> bool:
        return clip.label_source == "rules" or clip.supported is not None

    def reason(self, clip: Candidate) -> str | None:
        if clip.label_source == "rules" or clip.supported:
            return None
        if self.rules.drop == "another" and clip.ruled in ("", clip.label, self.shared.neutral):
            return None
        rather = f"; by them it is {clip.ruled}" if clip.ruled else ""
        return f"{clip.label}, given by a {clip.label_source}, is not supported by the peak's Action Units{rather}"


class ToneContradicted(ClipFilter[ToneRules]):
    """A tone sentence that measurement contradicts."""

    name = "tone"
    about = "what was measured of the voice contradicts the tone sentence"
    rules_type = ToneRules

    def knows(self, clip: Candidate) -> bool:
        return clip.claims_measured > 0

    def reason(self, clip: Candidate) -> str | None:
        wrong, measured = len(clip.claims), clip.claims_measured
        if wrong < self.rules.contradicted_at_least or wrong < self.rules.share_at_least * measured:
            return None
        return f"{wrong} of {measured} claims about the voice are contradicted: {'; '.join(clip.claims)}"

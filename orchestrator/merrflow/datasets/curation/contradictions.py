"""Filters for clips whose clues contradict each other. A clue that is not there contradicts nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Annotated, Literal

from pydantic import Field

from merrflow.datasets.curation.base import ClipFilter
from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.rules import Amount, FilterRules, Share, Valence

MODALITIES = ("face", "voice", "words")
_SIDES = ("positive", "negative")


class DistributionRules(FilterRules):
    own_ratio_at_most: Amount
    other_ratio_at_least: Annotated[float, Field(gt=1)]
    opposite_only: bool


class ModalityRules(FilterRules):
    ratio_at_least: Annotated[float, Field(gt=1)]


class SupportRules(FilterRules):
    drop: Literal["unsupported", "another"]


class ToneRules(FilterRules):
    contradicted_at_least: Annotated[int, Field(ge=1)]
    share_at_least: Share


def opposite(one: str, other: str, valence: Mapping[str, Valence]) -> bool:
    """Whether one label is positive and the other negative; a label that is not in the set is neither."""
    return {valence.get(one), valence.get(other)} == {"positive", "negative"}


def surest(scores: Mapping[str, float], labels: Iterable[str]) -> tuple[str, float] | None:
    """The likeliest of these labels with its probability, the alphabet deciding a tie; None if none was weighed."""
    ranked = sorted((-scores[label], label) for label in labels if label in scores)
    return (ranked[0][1], -ranked[0][0]) if ranked else None


class AgainstDistribution(ClipFilter[DistributionRules]):
    """The reasoning model, given all clues, leaves little to the label and much more to one of opposite valence. Ratios
    and not probabilities: a small model spreads its shares, and is still right about what it ranks last."""

    name = "distribution"
    about = "the reasoning model, given all clues, leaves little to the label and much more to one of opposite valence"
    rules_type = DistributionRules

    def knows(self, clip: Candidate) -> bool:
        return clip.own is not None

    def reason(self, clip: Candidate) -> str | None:
        own, scores = clip.own or 0.0, clip.scores["all"]  # it is known
        valence, only = self.shared.valence, self.rules.opposite_only
        top = surest(
            scores,
            (name for name in scores if name != clip.label and (not only or opposite(name, clip.label, valence))),
        )
        little = own * len(scores) <= self.rules.own_ratio_at_most
        if top is None or not little or top[1] < self.rules.other_ratio_at_least * own or top[1] <= 0:
            return None
        return (
            f"labelled {clip.label} ({own:.1%} by all clues, {own * len(scores):.2f} times an equal share), while the "
            f"clues say rather {top[0]} ({top[1]:.0%})"
        )


class ModalitiesApart(ClipFilter[ModalityRules]):
    """One modality alone is positive and another negative: its likeliest label of one valence is so many times as
    likely as that of the other."""

    name = "modalities"
    about = "of face, voice and words alone, one is plainly positive and another plainly negative"
    rules_type = ModalityRules

    def knows(self, clip: Candidate) -> bool:
        return sum(clues in clip.scores for clues in MODALITIES) > 1

    def reason(self, clip: Candidate) -> str | None:
        found = [(clues, self._lean(clip.scores[clues])) for clues in MODALITIES if clues in clip.scores]
        leaning = [(clues, *lean) for clues, lean in found if lean]
        for (clues, label, share), (others, other, other_share) in combinations(leaning, 2):
            if opposite(label, other, self.shared.valence):
                return f"the {clues} alone says {label} ({share:.0%}), the {others} alone {other} ({other_share:.0%})"
        return None

    def _lean(self, scores: Mapping[str, float]) -> tuple[str, float] | None:
        """The likeliest label of the valence that prevails; None if neither does."""
        valence = self.shared.valence
        sides = [surest(scores, (name for name in scores if valence.get(name) == side)) for side in _SIDES]
        ranked = sorted((side for side in sides if side), key=lambda side: -side[1])
        if len(ranked) < 2 or ranked[0][1] < self.rules.ratio_at_least * ranked[1][1]:
            return None
        return ranked[0]


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

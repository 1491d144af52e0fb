"""What witnesses.yaml holds, read strictly."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Field

from merrflow.core.datafile import Strict, read

Weight = Annotated[float, Field(ge=0, le=2)]
Share = Annotated[float, Field(ge=0, le=1)]
Total = Annotated[float, Field(gt=0, le=10)]
Valence = Literal["positive", "negative", "either", "neutral"]


class UnitRules(Strict):
    """Of the Action Units."""

    weight: Weight
    strong_weight: Weight
    strong_score: Annotated[float, Field(gt=0)]
    against_weight: Weight


class ExpressionRules(Strict):
    """Of the expression network."""

    classes: dict[str, str]
    confirms: dict[str, Share]
    contradicts: dict[str, Share]
    weight: Weight
    against_weight: Weight


class WordRules(Strict):
    """Of the subtitle. `strong`: language -> a word's valence by the emotion that it names."""

    weight: Weight
    against_weight: Weight
    heard_share: Share
    negation_reach: Annotated[int, Field(ge=0)]
    negations: dict[str, tuple[str, ...]]
    positive: dict[str, tuple[str, ...]]
    negative: dict[str, tuple[str, ...]]
    surprise: dict[str, tuple[str, ...]]


class VoiceRules(Strict):
    """Of the measured voice."""

    against_weight: Weight
    at_least: dict[str, int]
    at_most: dict[str, int]


class ScoreRules(Strict):
    """Of the language model's label scores."""

    weight: dict[str, Weight]
    other_models: Weight
    for_ratio: Annotated[float, Field(gt=1)]
    against_ratio: Annotated[float, Field(gt=0, lt=1)]
    top_ratio: Annotated[float, Field(gt=1)]


class Given(Strict):
    """Of a label that a table gives."""

    weight: Weight


class Witnesses(Strict):
    """The whole file."""

    name: str
    version: str
    neutral: str
    confirm: Total
    contradict: Total
    unopposed: Annotated[float, Field(ge=0)]
    valence: dict[str, Valence]
    units: UnitRules
    expression: ExpressionRules
    words: WordRules
    voice: VoiceRules
    scores: ScoreRules
    given: Given

    @property
    def title(self) -> str:
        """Name and version, as records carry them."""
        return f"{self.name} {self.version}"

    def opposite(self, one: str, other: str) -> bool:
        """Whether one label is positive and the other negative."""
        return {self.valence.get(one), self.valence.get(other)} == {"positive", "negative"}


@cache
def load_witnesses() -> Witnesses:
    """The file that comes with the package."""
    return read(files("merrflow.stages") / "witnesses.yaml", Witnesses)

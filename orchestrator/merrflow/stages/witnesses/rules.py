"""What witnesses.yaml holds, or a user's own file of its kind, read strictly."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from merrflow.core.datafile import DataFileError, Fault, Faults, Strict, read
from merrflow.core.fingerprint import fingerprint
from merrflow.core.paths import expanded

DEFAULT = "default"
SUFFIXES = (".yaml", ".yml")
PACKAGED = files("merrflow.stages") / "witnesses.yaml"

Weight = Annotated[float, Field(ge=0, le=2)]
Share = Annotated[float, Field(ge=0, le=1)]
Total = Annotated[float, Field(gt=0, le=10)]
Valence = Literal["positive", "negative", "either", "neutral"]
Name = Literal["units", "expression", "words", "voice", "scores", "given"]


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
    weight: dict[str, Weight]  # for each class of `confirms`
    sure: dict[str, Share] = {}  # from this share on, `sure_weight` instead
    sure_weight: Weight = 0.0
    against_weight: Weight

    @model_validator(mode="after")
    def _weighed(self) -> Self:
        known = ", ".join(self.confirms)
        if self.weight.keys() != self.confirms.keys():
            raise Faults([Fault(("weight",), f"must have the classes of `confirms`: {known}")])
        if not self.sure.keys() <= self.confirms.keys():
            raise Faults([Fault(("sure",), f"may have the classes of `confirms` only: {known}")])
        return self


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


class Held(Strict):
    """Precision and recall of a verdict on clips that nothing was fitted to; None where no clip got the verdict."""

    precision: Share | None
    recall: Share | None
    number: Annotated[int, Field(ge=0)]  # of clips that got the verdict


class WitnessFit(Strict):
    """What a file was fitted to, and how it does on clips that it was not fitted to."""

    against: str  # the table of labels
    sha256: str
    records: dict[str, int]  # label -> clips
    method: str
    validation: str
    confirmed: Held
    contradicted: Held
    default_confirmed: Held  # the same clips by the file that the fit started from
    default_contradicted: Held


class Witnesses(Strict):
    """The whole file."""

    name: str
    version: str
    neutral: str
    confirm: Total
    contradict: Total
    unopposed: Annotated[float, Field(ge=0)]
    independent: Annotated[int, Field(ge=1)]
    strong: Total
    evidence: dict[Name, str]  # witness -> what it goes by; two that go by the same thing are one kind of evidence
    valence: dict[str, Valence]
    units: UnitRules
    expression: ExpressionRules
    words: WordRules
    voice: VoiceRules
    scores: ScoreRules
    given: Given
    fit: WitnessFit | None = None  # what the numbers were fitted to, if they were

    @cached_property
    def title(self) -> str:
        """Name, version and a hash of the content, as records carry them: files of one name may differ."""
        return f"{self.name} {self.version} ({fingerprint(self)[:8]})"

    def opposite(self, one: str, other: str) -> bool:
        """Whether one label is positive and the other negative."""
        return {self.valence.get(one), self.valence.get(other)} == {"positive", "negative"}

    def normal(self, label: str) -> str:
        """The label as the file writes it. Raises ValueError if it has no such label."""
        known = {name.casefold(): name for name in self.valence}
        found = known.get(label.strip().casefold())
        if found is None:
            raise ValueError(f"label {label!r} is not in the file of witnesses: {', '.join(self.valence)}")
        return found

    def unknown(self, labels: Collection[str]) -> tuple[str, ...]:
        """Those of the labels that the file says nothing of."""
        return tuple(label for label in labels if label not in self.valence)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        """Labels are of the set in `valence`; each fault at its own line."""
        if faults := list(self._unknown_labels()):
            raise Faults(faults)
        return self

    def _unknown_labels(self) -> Iterator[Fault]:
        known = ", ".join(self.valence)
        named: Mapping[tuple[str, ...], Collection[str]] = {
            ("neutral",): [self.neutral],
            ("expression", "classes"): self.expression.classes,
            ("voice", "at_most"): self.voice.at_most,
            ("voice", "at_least"): self.voice.at_least,
        }
        for place, labels in named.items():
            for label in labels:
                if label not in self.valence:
                    yield Fault(place, f"label {label!r} is not in the set of `valence`: {known}")


def load_witnesses(name_or_path: str | Path = DEFAULT) -> Witnesses:
    """The file of the package ("default"), or a user's own (a path to .yaml or .yml).

    Raises DataFileError, which names every fault by file, line and value.
    """
    if name_or_path == DEFAULT:
        return _packaged()
    path = expanded(name_or_path)
    if path.suffix not in SUFFIXES:
        raise DataFileError(f"there are no witnesses {str(name_or_path)!r}: give `{DEFAULT}` or a .yaml file")
    return read(path, Witnesses)


@cache
def _packaged() -> Witnesses:
    return read(PACKAGED, Witnesses)

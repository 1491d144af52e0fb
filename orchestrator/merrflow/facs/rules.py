"""Rule sets: which Action Units support which label, and which frame is the peak.

The models check each entry by itself; `soundness.py` checks them against each other, and `rule_files.py` reads the
YAML files and does both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, StringConstraints, model_validator

from merrflow.core.datafile import Fault, Faults, Place, Strict
from merrflow.facs.fitted import Fit
from merrflow.facs.lexicon import Lexicon, Line, lexicon_path, load_lexicon
from merrflow.facs.units import Code, expressive

Word = Annotated[str, StringConstraints(pattern=r"^[a-z]+(?:[ _-][a-z]+)*$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]
Weight = Annotated[float, Field(gt=0, le=2)]
LogOdds = Annotated[float, Field(ge=-20, le=20)]
Rate = Annotated[float, Field(ge=0, le=1)]
Intensity = Annotated[float, Field(ge=0, le=5)]
Units = Annotated[tuple[Code, ...], Field(min_length=1)]


class PictureRules(Strict):
    """Which frame near the peak is shown; see stages/shown.py."""

    seconds: Annotated[float, Field(gt=0, le=2)]  # how far from the peak it may be
    gain: Annotated[float, Field(ge=0, le=1)]  # how much further from neutral it must look than the peak frame, 0 to 1
    maximum_yaw: Annotated[float, Field(gt=0, le=180)]  # degrees; beyond, a frame does not qualify
    maximum_pitch: Annotated[float, Field(gt=0, le=180)]
    sharpness: Annotated[float, Field(ge=0, le=1)]  # least share of the sharpness of the sharpest frame that qualifies


class PeakRules(Strict):
    """How the peak frame is found; see stages/peak.py. Intensities on OpenFace's scale, 0 to 5."""

    frequent: Annotated[int, Field(ge=1)]  # how many of the most frequent Action Units are summed
    speech_counts: bool  # whether units of speech may be among them
    blink_counts: bool  # whether AU45 may be among them
    minimum_confidence: Annotated[float, Field(ge=0, le=1)]
    minimum_intensity: Intensity  # a unit with a lower intensity does not count as present
    only_present: bool  # sum the intensity only if the unit is present
    avoid_blink: bool  # frames with the eyes closed by AU45 come second
    cut_guard: Annotated[int, Field(ge=0)]  # frames on either side of a cut that come second
    maximum_turn: Annotated[float, Field(gt=0, le=180)]  # degrees of yaw or pitch; beyond, frames come second
    maximum_speed: Annotated[float, Field(gt=0)]  # degrees a second of yaw or pitch, likewise
    window: Annotated[float, Field(ge=0, le=2)] = 0.0  # seconds around a frame that are judged with it; 0: it alone
    picture: PictureRules | None = None  # None: the peak frame is shown, as published


class Strength(Strict):
    """How an Action Unit's intensity (0 to 5) becomes evidence (0 to 1)."""

    full: Annotated[float, Field(gt=0, le=5)]  # intensity from which evidence is 1
    floor: Annotated[float, Field(ge=0, le=1)]  # evidence of a unit that is present, however weak
    presence_only: Intensity  # intensity taken if the engine gives presence only

    def of(self, intensity: float | None) -> float:
        """Evidence of a unit that is present."""
        value = self.presence_only if intensity is None else intensity
        return max(self.floor, min(value / self.full, 1.0))


class Prototype(Strict):
    """A combination of Action Units that means a label: all of `core` must be present at the peak."""

    core: Units
    weight: Weight = 1.0  # below 1: less specific to this label
    at_least: dict[Code, Intensity] = {}  # intensity that a unit of the core must have
    source: str = ""

    @model_validator(mode="after")
    def _sound(self) -> Prototype:
        _raise(self._faults())
        return self

    @property
    def condition(self) -> tuple[frozenset[str], frozenset[tuple[str, float]]]:
        """What a face must show, whatever its weight; two prototypes with the same one are duplicates."""
        return frozenset(self.core), frozenset(self.at_least.items())

    def _faults(self) -> Iterator[Fault]:
        yield from _repeated(self.core, "core")
        for code in self.at_least:
            if code not in self.core:
                yield Fault(("at_least", code), f"at_least names {code}, not in the core")
        if not any(expressive(code) for code in self.core):
            text = f"{' '.join(self.core)}: units of speech and blinking alone cannot mean a label"
            yield Fault(("core",), text)


class Rule(Strict):
    """One label. `action_units`, in their order, are what MERR's AU_list is taken from."""

    label: Word
    aliases: tuple[Word, ...] = ()
    action_units: Units
    minimum: Annotated[int, Field(ge=1)] | None = None  # decide: first
    prototypes: tuple[Prototype, ...] = ()  # decide: score
    support: dict[Code, Weight] = {}  # adds to a prototype that is met
    against: dict[Code, Weight] = {}  # takes from it
    intercept: LogOdds | None = None  # decide: weights; log odds against neutral with no unit present
    weights: dict[Code, LogOdds] = {}  # what each unit that is present adds to them
    published_as: dict[Code, Code] = {}  # errata of the published annotations, for strict exports

    @model_validator(mode="after")
    def _sound(self) -> Rule:
        _raise(self._faults())
        return self

    def _faults(self) -> Iterator[Fault]:
        yield from _repeated(self.action_units, "action_units")
        if self.minimum is not None and self.minimum > len(self.action_units):
            yield Fault(("minimum",), f"minimum {self.minimum} of {len(self.action_units)} units can never be met")
        for place, code in self._named_units():
            if code not in self.action_units:
                yield Fault(place, f"{code} is used but not listed in action_units")
        for code in self.against:
            if code in self.action_units:
                yield Fault(("against", code), f"{code} is both for and against")
        for code, other in self.published_as.items():
            if code == other:
                yield Fault(("published_as", code), f"{code} published as itself is not an erratum")
        seen: dict[object, int] = {}
        for number, prototype in enumerate(self.prototypes):
            first = seen.setdefault(prototype.condition, number)
            if first != number:
                text = f"the same condition as prototype {first + 1} of {self.label!r}"
                yield Fault(("prototypes", number, "core"), text)

    def _named_units(self) -> Iterator[tuple[Place, str]]:
        """The Action Units that must be among `action_units`, each with its place in the rule."""
        yield from ((("support", code), code) for code in self.support)
        yield from ((("published_as", code), code) for code in self.published_as)
        for number, prototype in enumerate(self.prototypes):
            yield from ((("prototypes", number, "core", place), code) for place, code in enumerate(prototype.core))


class Neutral(Strict):
    """The label of clips in which nothing expressive is present.

    `action_units`: a neutral clip in which all of these are present takes its AU_list from them (decide: first).
    """

    label: Word
    aliases: tuple[Word, ...] = ()
    action_units: tuple[Code, ...] = ()


class RuleSet(Strict):
    """All that turns Action Units into a peak, a label and its supporting units.

    decide "first": the first rule, in the file's order, of whose units `minimum` are present at the peak.
    decide "score": the rule with the strongest evidence, if that reaches `threshold`; see evidence.py.
    decide "weights": the rule with the highest log odds against neutral, if those are above 0.
    """

    name: Name
    version: Line
    description: str
    sources: tuple[str, ...] = ()
    decide: Literal["first", "score", "weights"]
    threshold: Annotated[float, Field(gt=0)] | None = None  # decide: score
    strength: Strength | None = None  # decide: score
    base_rates: dict[Code, Rate] = {}  # decide: weights; how often each unit is present, for those not measured
    fit: Fit | None = None  # decide: weights; how the weights were fitted and how well they do
    lexicon: Line  # a name of the package, or a YAML file, relative to this one
    peak: PeakRules
    neutral: Neutral
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    _folder: Path = PrivateAttr(default=Path())

    @property
    def title(self) -> str:
        """Name and version, as records carry them."""
        return f"{self.name} {self.version}"

    @property
    def labels(self) -> tuple[str, ...]:
        """Neutral, then the rules' labels in the file's order."""
        return (self.neutral.label, *(rule.label for rule in self.rules))

    @property
    def own_lexicon(self) -> Path | None:
        """The lexicon's file; None if it is one of the package."""
        return lexicon_path(self.lexicon, self._folder)

    def phrases(self) -> Lexicon:
        """The set's lexicon. Raises DataFileError."""
        return load_lexicon(self.own_lexicon or self.lexicon)

    def rule(self, label: str) -> Rule | None:
        """The rule of a label, None for neutral."""
        return next((rule for rule in self.rules if rule.label == label), None)

    def normal(self, label: str) -> str:
        """The set's own word for a label or one of its aliases, whatever its case; raises UnknownLabel."""
        word = " ".join(label.split()).casefold()
        entries: tuple[Neutral | Rule, ...] = (self.neutral, *self.rules)
        for entry in entries:
            if word == entry.label or word in entry.aliases:
                return entry.label
        raise UnknownLabel(f"unknown label {label!r}: the rule set {self.title} has {', '.join(self.labels)}")

    def with_folder(self, folder: Path) -> RuleSet:
        """The same set, as if read from a file in `folder`, to which the path of its lexicon is relative."""
        copy = self.model_copy()
        copy._folder = folder.absolute()
        return copy


class UnknownLabel(ValueError):
    """A label that the rule set does not have. The message names it and the allowed ones."""


def _repeated(codes: Sequence[str], key: str) -> Iterator[Fault]:
    for place, code in enumerate(codes):
        if code in codes[:place]:
            yield Fault((key, place), f"{code} occurs twice in {key}")


def _raise(faults: Iterator[Fault]) -> None:
    if found := list(faults):
        raise Faults(found)

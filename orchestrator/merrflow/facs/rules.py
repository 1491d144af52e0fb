"""Rule sets: which Action Units support which label, and which frame is the peak. Versioned YAML files."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from merrflow.facs.datafile import DataFileError, Strict, read
from merrflow.facs.units import Code, action_units

Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z _-]*$")]
Weight = Annotated[float, Field(gt=0, le=2)]
Intensity = Annotated[float, Field(ge=0, le=5)]
Units = Annotated[tuple[Code, ...], Field(min_length=1)]


class PeakRules(Strict):
    """How the peak frame is found; see stages/peak.py. Intensities on OpenFace's scale, 0 to 5."""

    frequent: Annotated[int, Field(ge=1)]  # how many of the most frequent Action Units are summed
    speech_counts: bool  # whether units of speech may be among them
    blink_counts: bool  # whether AU45 may be among them
    minimum_confidence: Annotated[float, Field(ge=0, le=1)]
    minimum_intensity: Intensity  # a unit with a lower intensity does not count as present
    only_present: bool  # sum the intensity only where the unit is present
    avoid_blink: bool  # frames with the eyes closed by AU45 come second
    cut_guard: Annotated[int, Field(ge=0)]  # frames on either side of a cut that come second
    maximum_turn: Annotated[float, Field(gt=0, le=180)]  # degrees of yaw or pitch; beyond, frames come second
    maximum_speed: Annotated[float, Field(gt=0)]  # degrees a second of yaw or pitch, likewise


class Strength(Strict):
    """How an Action Unit's intensity (0 to 5) becomes evidence (0 to 1)."""

    full: Annotated[float, Field(gt=0, le=5)]  # intensity from which evidence is 1
    floor: Annotated[float, Field(ge=0, le=1)]  # evidence of a unit that is present, however weak
    presence_only: Intensity  # intensity taken where the engine tells presence only

    def of(self, intensity: float | None) -> float:
        """Evidence of a unit that is present."""
        value = self.presence_only if intensity is None else intensity
        return max(self.floor, min(value / self.full, 1.0))


class Prototype(Strict):
    """A combination of Action Units that tells a label: all of `core` must stand at the peak."""

    core: Units
    weight: Weight = 1.0  # below 1: less specific to this label
    at_least: dict[Code, Intensity] = {}  # intensity that a unit of the core must have
    source: str = ""

    @model_validator(mode="after")
    def _sound(self) -> Prototype:
        _distinct(self.core, "core")
        stray = sorted(set(self.at_least) - set(self.core))
        if stray:
            raise ValueError(f"at_least names {', '.join(stray)}, not in the core")
        if all(action_units()[code].speech or action_units()[code].blink for code in self.core):
            raise ValueError(f"{' '.join(self.core)}: units of speech and blinking alone cannot tell a label")
        return self


class Rule(Strict):
    """One label. `action_units`, in their order, are what MERR's AU_list is taken from."""

    label: Word
    aliases: tuple[Word, ...] = ()
    action_units: Units
    minimum: Annotated[int, Field(ge=1)] | None = None  # decide: first
    prototypes: tuple[Prototype, ...] = ()  # decide: score
    support: dict[Code, Weight] = {}  # adds to a prototype that stands
    against: dict[Code, Weight] = {}  # takes from it
    published_as: dict[Code, Code] = {}  # errata of the published annotations, for strict exports

    @model_validator(mode="after")
    def _sound(self) -> Rule:
        _distinct(self.action_units, "action_units")
        if self.minimum is not None and self.minimum > len(self.action_units):
            raise ValueError(f"minimum {self.minimum} of {len(self.action_units)} units can never be met")
        named = set(self.support) | set(self.published_as) | {c for p in self.prototypes for c in p.core}
        stray = sorted(named - set(self.action_units))
        if stray:
            raise ValueError(f"{', '.join(stray)} is used but not listed in action_units")
        both = sorted(set(self.against) & set(self.action_units))
        if both:
            raise ValueError(f"{', '.join(both)} is both for and against")
        return self


class Neutral(Strict):
    """The label of clips in which nothing expressive stands."""

    label: Word
    aliases: tuple[Word, ...] = ()


class RuleSet(Strict):
    """All that turns Action Units into a peak, a label and its supporting units.

    decide "first": the first rule, in the file's order, of whose units `minimum` stand at the peak.
    decide "score": the rule with the strongest evidence, where that reaches `threshold`; see evidence.py.
    """

    name: Word
    version: str
    description: str
    sources: tuple[str, ...] = ()
    decide: Literal["first", "score"]
    threshold: Annotated[float, Field(gt=0)] | None = None
    strength: Strength | None = None
    lexicon: Word
    peak: PeakRules
    neutral: Neutral
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]

    @property
    def title(self) -> str:
        """Name and version, as records carry them."""
        return f"{self.name} {self.version}"

    @property
    def labels(self) -> tuple[str, ...]:
        """Neutral, then the rules' labels in the file's order."""
        return (self.neutral.label, *(rule.label for rule in self.rules))

    def rule(self, label: str) -> Rule | None:
        """The rule of a label, None for neutral."""
        return next((rule for rule in self.rules if rule.label == label), None)

    def normal(self, label: str) -> str:
        """The set's own word for a label or one of its aliases, whatever its case; raises UnknownLabel."""
        word = " ".join(label.split()).casefold()
        for entry in (self.neutral, *self.rules):
            if word == entry.label or word in entry.aliases:
                return entry.label
        raise UnknownLabel(f"unknown label {label!r}: the rule set {self.title} has {', '.join(self.labels)}")

    @model_validator(mode="after")
    def _sound(self) -> RuleSet:
        words: dict[str, str] = {}
        for entry in (self.neutral, *self.rules):
            for word in (entry.label, *entry.aliases):
                if word in words:
                    raise ValueError(f"{word!r} stands twice: at {words[word]!r} and at {entry.label!r}")
                words[word] = entry.label
        for rule in self.rules:
            if self.decide == "first":
                if rule.minimum is None:
                    raise ValueError(f"rule {rule.label!r} has no minimum, which decide: first needs")
                if rule.prototypes or rule.support or rule.against:
                    raise ValueError(f"rule {rule.label!r}: prototypes and the like need decide: score")
            elif rule.minimum is not None or not rule.prototypes:
                raise ValueError(f"rule {rule.label!r}: decide: score needs prototypes and no minimum")
        scored = self.threshold is not None and self.strength is not None
        if (self.decide == "score") != scored or (self.threshold is None) != (self.strength is None):
            raise ValueError("threshold and strength belong to decide: score, and it needs both")
        return self


class UnknownLabel(ValueError):
    """A label that the rule set does not have. The message names it and the allowed ones."""


@cache
def load_rules(name_or_path: str | Path = "default") -> RuleSet:
    """A rule set of the package ("default", "merr"), or a user's own file (a path to .yaml or .yml)."""
    if Path(name_or_path).suffix in (".yaml", ".yml"):
        return read(Path(name_or_path), RuleSet)
    folder = files("merrflow.facs") / "rulesets"
    path = folder / f"{name_or_path}.yaml"
    if not path.is_file():
        names = sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))
        raise DataFileError(
            f"there is no rule set {str(name_or_path)!r}: choose {' or '.join(names)}, or give a .yaml file"
        )
    return read(path, RuleSet)


def _distinct(codes: tuple[str, ...], where: str) -> None:
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands twice in {where}")

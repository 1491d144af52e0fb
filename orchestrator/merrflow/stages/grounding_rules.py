"""What grounding.yaml holds, read strictly."""

from __future__ import annotations

from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from merrflow.core.datafile import Strict, read


def _ordered(limits: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    least, most = limits
    if least is None and most is None:
        raise ValueError("a range needs a least or a most")
    if least is not None and most is not None and least > most:
        raise ValueError(f"the range's least, {least:g}, is above its most, {most:g}")
    return limits


Limits = Annotated[tuple[float | None, float | None], AfterValidator(_ordered)]  # least, most; in the measure's unit
Ranges = Annotated[dict[str, Limits], Field(min_length=1)]  # measure -> range; all must hold
Phrase = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z' *-]*$")]
CONTENTS = frozenset({"speech", "no_speech", "music", "silence"})


def _known_content(content: str) -> str:
    if content not in CONTENTS:
        raise ValueError(f"unknown content {content!r}; known are {', '.join(sorted(CONTENTS))}")
    return content


ContentName = Annotated[str, AfterValidator(_known_content)]


class Quality(Strict):
    """One thing a sentence may claim; see grounding.yaml."""

    name: str
    phrases: Annotated[tuple[Phrase, ...], Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    supported: tuple[Ranges, ...] = ()
    contradicted: tuple[Ranges, ...] = ()
    firm: tuple[Ranges, ...] = ()
    supported_content: tuple[ContentName, ...] = ()
    contradicted_content: tuple[ContentName, ...] = ()
    negatable: bool = True

    @property
    def measurable(self) -> bool:
        """Whether anything can speak for it."""
        return bool(self.supported or self.supported_content)

    def excludes(self, other: Quality) -> bool:
        """Whether no voice can have both: the ranges that support the one are apart from those of the other."""
        ranges = [(one, two) for one in self.supported for two in other.supported]
        return bool(ranges) and all(_apart(one, two) for one, two in ranges)

    @model_validator(mode="after")
    def _sound(self) -> Quality:
        if not self.supported and (self.contradicted or self.firm):
            raise ValueError("a claim that no measure supports cannot be contradicted or firm")
        if set(self.supported_content) & set(self.contradicted_content):
            raise ValueError("the same content cannot both support and contradict")
        for one in self.supported:
            for other in self.contradicted:
                if not _apart(one, other):
                    raise ValueError(f"no gap between supported {one} and contradicted {other}")
        for firm in self.firm:
            if not any(_inside(firm, one) for one in self.supported):
                raise ValueError(f"firm {firm} must be within a supported range")
        return self


class Cue(Strict):
    """One cue of arousal."""

    points: int
    when: Ranges


class Arousal(Strict):
    """How arousal is summed from cues."""

    least_measured: Annotated[int, Field(ge=1)]
    needs: Ranges
    cues: Annotated[tuple[Cue, ...], Field(min_length=1)]


class Case(Strict):
    """A case in which measures are doubtful."""

    when: Ranges
    missing: str | None = None


class Doubtful(Strict):
    """Measures that noise and music spoil."""

    measures: tuple[str, ...]
    where: tuple[Case, ...]


class GroundingRules(Strict):
    """The whole file."""

    version: str
    arousal: Arousal
    trust: dict[str, Ranges]
    doubtful: Doubtful
    ignored: tuple[Phrase, ...]
    negations: tuple[Phrase, ...]
    no_negations: tuple[Phrase, ...]
    doubts: tuple[Phrase, ...]
    negation_reach: Annotated[int, Field(ge=1)]
    breaks: tuple[Phrase, ...]
    qualities: Annotated[tuple[Quality, ...], Field(min_length=1)]

    def quality(self, name: str) -> Quality:
        """The quality of that name."""
        return next(quality for quality in self.qualities if quality.name == name)

    @model_validator(mode="after")
    def _distinct(self) -> GroundingRules:
        owners: dict[str, str] = dict.fromkeys(self.ignored, "ignored")
        names: set[str] = set()
        for quality in self.qualities:
            if quality.name in names:
                raise ValueError(f"quality {quality.name!r} occurs twice")
            names.add(quality.name)
            for phrase in quality.phrases:
                if phrase in owners:
                    raise ValueError(f"phrase {phrase!r} occurs twice: under {owners[phrase]!r} and {quality.name!r}")
                owners[phrase] = quality.name
        return self


def read_rules(path: Path | Traversable) -> GroundingRules:
    """Raises DataFileError, which names file, line and value."""
    return read(path, GroundingRules)


def _apart(one: Ranges, other: Ranges) -> bool:
    """Whether a measure that both name separates them by a gap."""
    return any(_gap(one[name], other[name]) or _gap(other[name], one[name]) for name in one.keys() & other.keys())


def _gap(below: Limits, above: Limits) -> bool:
    return below[1] is not None and above[0] is not None and below[1] < above[0]


def _inside(inner: Ranges, outer: Ranges) -> bool:
    return all(name in inner and _covers(limits, inner[name]) for name, limits in outer.items())


def _covers(outer: Limits, inner: Limits) -> bool:
    low = outer[0] is None or (inner[0] is not None and inner[0] >= outer[0])
    high = outer[1] is None or (inner[1] is not None and inner[1] <= outer[1])
    return low and high

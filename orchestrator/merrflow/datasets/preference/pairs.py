"""The clips that two runs have in common, and the two texts of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydantic import TypeAdapter

from merrflow.core.errors import InputError
from merrflow.core.fingerprint import fingerprint, fraction
from merrflow.core.records import Outcome
from merrflow.datasets.entries import parsed
from merrflow.datasets.pictures import FOLDER
from merrflow.store import Ledger


class Kind(StrEnum):
    """Which text of a record is compared."""

    FINE = "fine"
    COARSE = "coarse"


@dataclass(frozen=True)
class _Text:
    text: str | None = None


@dataclass(frozen=True)
class _Label:
    label: str
    expressions: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Line:
    """The part of a record that is compared; the rest is not even parsed into objects."""

    name: str
    sha256: str
    label: _Label
    coarse: str = ""
    reasoning: _Text | None = None
    scene: _Text | None = None
    tone: _Text | None = None
    subtitle: _Text | None = None


_LINES = TypeAdapter(_Line)


@dataclass(frozen=True)
class Clues:
    """What both runs found of a clip, in the same words; empty where they differ."""

    scene: str = ""
    expressions: tuple[str, ...] = ()
    tone: str = ""
    subtitle: str = ""

    @property
    def empty(self) -> bool:
        return not (self.scene or self.expressions or self.tone or self.subtitle)


@dataclass(frozen=True)
class Side:
    """One run's text of a clip."""

    name: str  # of the clip in that run
    label: str
    text: str
    digest: str  # of the text


@dataclass(frozen=True)
class Pair:
    """The two texts of one clip."""

    id: str  # 16 hex digits, of the clip's bytes and both texts: an answer to other texts has another
    sha256: str
    a: Side
    b: Side
    clues: Clues

    @property
    def identical(self) -> bool:
        return self.a.digest == self.b.digest

    @property
    def label(self) -> str:
        """The label of both runs; "" if they differ."""
        return self.a.label if self.a.label == self.b.label else ""


@dataclass(frozen=True)
class Run:
    """What a folder that a run was made into has to compare."""

    out: Path
    clips: Mapping[str, Sequence[_Line]]  # by the sha256 of the clip
    kind: Kind
    untold: frozenset[str]  # names of clips with a record, but without a text of this kind

    @property
    def name(self) -> str:
        return self.out.resolve().name


@dataclass(frozen=True)
class Matching:
    """Two runs, clip by clip."""

    a: Run
    b: Run
    pairs: tuple[Pair, ...]  # by the name in B
    only_a: tuple[str, ...] = field(default=())  # names of clips that B has no record of
    only_b: tuple[str, ...] = field(default=())
    without_a: tuple[str, ...] = field(default=())  # names in B of clips that both have, A without a text
    without_b: tuple[str, ...] = field(default=())
    copies: int = 0  # further names of clips that are compared already


def read_run(ledger: Ledger, out: Path, kind: Kind) -> Run:
    """Texts as the run wrote them, without corrections by people. Blocking."""
    clips: defaultdict[str, list[_Line]] = defaultdict(list)
    untold = set()
    for name, row, line in parsed(ledger, _LINES):
        if not line.sha256:
            continue
        clips[line.sha256].append(line)
        if not _text(line, kind) or (kind is Kind.FINE and row.outcome is not Outcome.DONE):
            untold.add(name)
    return Run(out, dict(clips), kind, frozenset(untold))


def match(a: Run, b: Run) -> Matching:
    """Clips with the same bytes, each once. Raises `InputError` if there is nothing to compare, and says why."""
    for run in (a, b):
        if not run.clips:
            raise InputError(f"{run.out}: this run has no record yet; finish it with merrflow run first")
    common = a.clips.keys() & b.clips.keys()
    if not common:
        raise InputError(
            f"{a.out} and {b.out} have no clip in common (of {len(a.clips)} and {len(b.clips)}): clips are matched by "
            "their bytes, so both runs must be over the same files, under whatever names"
        )
    pairs, without_a, without_b, copies = [], [], [], 0
    for sha256 in common:
        ours, theirs = _same_name(a.clips[sha256], b.clips[sha256], a.untold, b.untold)
        copies += max(len(a.clips[sha256]), len(b.clips[sha256])) - 1
        if ours.name in a.untold:
            without_a.append(theirs.name)
        elif theirs.name in b.untold:
            without_b.append(theirs.name)
        else:
            pairs.append(_pair(ours, theirs, a.kind))
    if not pairs:
        other = Kind.COARSE if a.kind is Kind.FINE else Kind.FINE
        raise InputError(
            f"none of the {len(common)} common clips has a {a.kind}-grained text in both runs: without one in "
            f"{a.out}: {len(without_a)}, in {b.out}: {len(without_b)}. --text {other} compares the others"
        )
    return Matching(
        a,
        b,
        tuple(sorted(pairs, key=lambda pair: pair.b.name)),
        only_a=tuple(_names(a, a.clips.keys() - common)),
        only_b=tuple(_names(b, b.clips.keys() - common)),
        without_a=tuple(sorted(without_a)),
        without_b=tuple(sorted(without_b)),
        copies=copies,
    )


def sample(pairs: Sequence[Pair], number: int, seed: int) -> tuple[Pair, ...]:
    """So many, drawn by a hash of the seed and the clip's bytes, in their order. number: 0 for all."""
    if not 0 < number < len(pairs):
        return tuple(pairs)
    drawn = {pair.id for pair in sorted(pairs, key=lambda pair: fraction("compare", seed, pair.sha256))[:number]}
    return tuple(pair for pair in pairs if pair.id in drawn)


def picture_of(run: Run, name: str) -> Path:
    """Where the picture of a clip's peak frame is, if there is one."""
    return run.out / FOLDER / f"{name}.jpg"


def _same_name(
    ours: Sequence[_Line], theirs: Sequence[_Line], mute_a: frozenset[str], mute_b: frozenset[str]
) -> tuple[_Line, _Line]:
    """One of each run: with a text if there is one, then of the same name, then the first."""
    found = [(one, other) for one in ours for other in theirs]
    return min(
        found,
        key=lambda both: (
            (both[0].name in mute_a) + (both[1].name in mute_b),
            both[0].name != both[1].name,
            both[0].name,
            both[1].name,
        ),
    )


def _pair(ours: _Line, theirs: _Line, kind: Kind) -> Pair:
    a, b = _side(ours, kind), _side(theirs, kind)
    return Pair(fingerprint(theirs.sha256, a.digest, b.digest)[:16], theirs.sha256, a, b, _common(ours, theirs))


def _side(line: _Line, kind: Kind) -> Side:
    text = _text(line, kind)
    return Side(line.name, line.label.label, text, fingerprint(" ".join(text.split()))[:16])


def _text(line: _Line, kind: Kind) -> str:
    found = line.coarse if kind is Kind.COARSE else line.reasoning and line.reasoning.text
    return (found or "").strip()


def _common(one: _Line, other: _Line) -> Clues:
    """A clue that only one run has would speak for its text."""

    def same(ours: _Text | None, theirs: _Text | None) -> str:
        return (ours.text or "") if ours and theirs and ours.text == theirs.text else ""

    return Clues(
        scene=same(one.scene, other.scene),
        expressions=tuple(phrase for phrase in one.label.expressions if phrase in other.label.expressions),
        tone=same(one.tone, other.tone),
        subtitle=same(one.subtitle, other.subtitle),
    )


def _names(run: Run, clips: set[str]) -> Iterator[str]:
    yield from sorted(line.name for sha256 in clips for line in run.clips[sha256])

"""The contract of a filter, and how filters are run one after the other and counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from merrflow.datasets.curation.candidate import Candidate


@dataclass(frozen=True)
class Verdict:
    """What a filter says of the clips it was shown."""

    drops: Mapping[str, str]  # clip -> reason, a sentence without a closing stop
    unjudged: int = 0  # clips that lack what the filter judges by, and stay


class Filter(ABC):
    """Judges clips. Pure, and a function of the set of clips: their order changes nothing."""

    name: str

    @abstractmethod
    def judge(self, clips: Sequence[Candidate]) -> Verdict:
        """Which of the clips are dropped, and why."""


class ClipFilter(Filter):
    """A filter that judges each clip by itself."""

    @abstractmethod
    def knows(self, clip: Candidate) -> bool:
        """Whether the clip has what the filter judges by."""

    @abstractmethod
    def reason(self, clip: Candidate) -> str | None:
        """Why the clip is dropped, None where it stays. Asked only of clips it knows."""

    def judge(self, clips: Sequence[Candidate]) -> Verdict:
        known = [clip for clip in clips if self.knows(clip)]
        reasons = ((clip.name, self.reason(clip)) for clip in known)
        return Verdict({name: reason for name, reason in reasons if reason}, len(clips) - len(known))


@dataclass(frozen=True)
class Drop:
    """One clip that is left out."""

    name: str
    filter: str
    reason: str


@dataclass(frozen=True)
class Step:
    """One filter's work: counts of clips, and of the clips it dropped by label."""

    filter: str
    seen: int
    dropped: int
    unjudged: int
    labels: Mapping[str, int]  # label -> how many of it were dropped
    drops: tuple[Drop, ...] = field(repr=False)

    @property
    def left(self) -> int:
        return self.seen - self.dropped


def in_sequence(filters: Sequence[Filter], clips: Sequence[Candidate]) -> Iterator[Step]:
    """Each filter sees what those before it left."""
    left = sorted(clips, key=lambda clip: clip.name)
    for one in filters:
        step = apply(one, left)
        gone = {drop.name for drop in step.drops}
        left = [clip for clip in left if clip.name not in gone]
        yield step


def apply(one: Filter, clips: Sequence[Candidate]) -> Step:
    """One filter over the clips, its drops by name."""
    verdict = one.judge(clips)
    labels = Counter(clip.label for clip in clips if clip.name in verdict.drops)
    drops = tuple(Drop(name, one.name, verdict.drops[name]) for name in sorted(verdict.drops))
    return Step(one.name, len(clips), len(drops), verdict.unjudged, dict(sorted(labels.items())), drops)

"""What a filter is, and how filters are run one after the other and counted. docs/curation.md has a recipe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.rules import FilterRules, Shared
from merrflow_serving.errors import is_unicode

Rules = TypeVar("Rules", bound=FilterRules)


@dataclass(frozen=True)
class Verdict:
    """What a filter says of the clips it was shown."""

    drops: Mapping[str, str]  # clip -> reason, a sentence without a closing stop
    unjudged: int = 0  # clips without what the filter judges by, which stay


@dataclass(frozen=True)
class Filter(ABC, Generic[Rules]):
    """Judges clips. Pure, and a function of the set of clips: their order changes nothing."""

    name: ClassVar[str]  # as in `order`, as its section of curation.yaml and as its entry point
    about: ClassVar[str]  # what it drops, in one line
    rules_type: ClassVar[type[FilterRules]] = FilterRules
    after: ClassVar[str | None] = None  # the filter that it follows if the file gives no `order`
    balances: ClassVar[bool] = False  # weighs labels against each other, so it sees only what all others left

    rules: Rules
    shared: Shared

    @property
    def needs_sharpness(self) -> bool:
        """Whether it looks at `Candidate.sharpness`, for which every peak picture is read."""
        return False

    @abstractmethod
    def judge(self, clips: Sequence[Candidate]) -> Verdict:
        """Which of the clips are dropped, and why."""


class ClipFilter(Filter[Rules]):
    """A filter that judges each clip by itself."""

    @abstractmethod
    def knows(self, clip: Candidate) -> bool:
        """Whether the clip has what the filter judges by."""

    @abstractmethod
    def reason(self, clip: Candidate) -> str | None:
        """Why the clip is dropped; None if it stays. Called only for clips that the filter knows."""

    def judge(self, clips: Sequence[Candidate]) -> Verdict:
        known = [clip for clip in clips if self.knows(clip)]
        reasons = ((clip.name, self.reason(clip)) for clip in known)
        return Verdict({name: reason for name, reason in reasons if reason not in (None, "")}, len(clips) - len(known))


@dataclass(frozen=True)
class Drop:
    """One clip that is left out."""

    name: str
    filter: str
    reason: str

    def values(self) -> dict[str, str]:
        """As JSON."""
        return {"name": self.name, "filter": self.filter, "reason": self.reason}


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


def in_sequence(filters: Sequence[Filter[Any]], clips: Sequence[Candidate]) -> Iterator[Step]:
    """Each filter sees what those before it left."""
    left = sorted(clips, key=lambda clip: clip.name)
    for one in filters:
        step = apply(one, left)
        gone = {drop.name for drop in step.drops}
        left = [clip for clip in left if clip.name not in gone]
        yield step


def apply(one: Filter[Any], clips: Sequence[Candidate]) -> Step:
    """One filter over the clips, its drops by name. Raises `ValueError` if its verdict is not one on these clips."""
    verdict = one.judge(clips)
    if problem := _problem(verdict, clips):
        raise ValueError(problem)
    labels = Counter(clip.label for clip in clips if clip.name in verdict.drops)
    drops = tuple(Drop(name, one.name, verdict.drops[name]) for name in sorted(verdict.drops))
    return Step(one.name, len(clips), len(drops), verdict.unjudged, dict(sorted(labels.items())), drops)


def _problem(verdict: object, clips: Sequence[Candidate]) -> str:
    """What keeps a verdict, which may come from the code of another distribution, from being used; "" if nothing."""
    if not (isinstance(verdict, Verdict) and isinstance(verdict.drops, Mapping)):
        return f"judge() returned {verdict!r:.80}, not a Verdict with a mapping of clips to reasons"
    if strangers := verdict.drops.keys() - {clip.name for clip in clips}:
        return f"judge() drops {sorted(map(repr, strangers))[0]}, which it was not shown"
    for name, reason in verdict.drops.items():
        if not (isinstance(reason, str) and reason.strip() and is_unicode(reason)):
            return f"the reason why {name!r} is dropped is {reason!r:.80}; a sentence is wanted"
    if not (isinstance(verdict.unjudged, int) and 0 <= verdict.unjudged <= len(clips)):
        return f"judge() says that it did not judge {verdict.unjudged!r:.80} of {len(clips)} clips"
    return ""

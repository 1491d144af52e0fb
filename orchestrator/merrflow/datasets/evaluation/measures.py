"""What the measures are made of: shares with their interval, precision and recall, and their form as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from merrflow.datasets.intervals import wilson
from merrflow.formats.merr import MerrAnnotation

Pair = tuple[MerrAnnotation, MerrAnnotation]  # of one clip: what the file says, what the run says
DIGITS = 4  # of every number in JSON: more would only show rounding


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    hits: int
    total: int

    @property
    def value(self) -> float | None:
        """0 to 1; None of nothing."""
        return self.hits / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval; None of nothing."""
        return wilson(self.hits, self.total) if self.total else None


def share(truths: Iterable[bool]) -> Share:
    """How many of these are true."""
    values = list(truths)
    return Share(sum(values), len(values))


def mean(values: Iterable[float | None]) -> float | None:
    """Of those that are known; None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


@dataclass(frozen=True)
class Detection:
    """Precision, recall and F1, each 0 to 1; None if it is undefined (nothing claimed, nothing there)."""

    precision: float | None
    recall: float | None
    f1: float | None

    @classmethod
    def of(cls, right: int, false: int, missed: int) -> Detection:
        """From counts: claimed rightly, claimed falsely, and there but not claimed."""
        return cls(
            precision=right / (right + false) if right + false else None,
            recall=right / (right + missed) if right + missed else None,
            f1=2 * right / (2 * right + false + missed) if right + false + missed else None,
        )

    @classmethod
    def mean(cls, each: Iterable[Detection]) -> Detection:
        """The macro average: every unit or label counts the same; the undefined are left out."""
        each = list(each)
        return cls(mean(e.precision for e in each), mean(e.recall for e in each), mean(e.f1 for e in each))


def plain(value: Any) -> Any:
    """A measure as JSON values, numbers rounded."""
    if isinstance(value, Share):
        interval = value.interval
        return {
            "hits": value.hits,
            "total": value.total,
            "share": plain(value.value),
            "interval_95": [plain(end) for end in interval] if interval else None,
        }
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return round(value, DIGITS) + 0.0  # no -0.0
    return value

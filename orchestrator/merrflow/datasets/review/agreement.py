"""How far people agree with each other and with the records."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from merrflow.datasets.intervals import wilson
from merrflow.datasets.review.verdicts import Verdict, by_clip


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval."""

    value: float | None  # None if nothing was looked at
    low: float
    high: float
    of: int  # how many were looked at


@dataclass(frozen=True)
class Pair:
    """Two reviewers on the clips that both have judged."""

    one: str
    other: str
    clips: int
    same: int
    kappa: float | None  # Cohen's; None if it is not defined


@dataclass(frozen=True)
class Agreement:
    """Reviewers with each other."""

    pairs: tuple[Pair, ...]
    clips: int  # with at least two reviewers
    fleiss: float | None


def share_of(hits: float, number: float, looked_at: int | None = None) -> Share:
    """A share with Wilson's interval. number: may be an effective sample size, of `looked_at` items."""
    count = round(number) if looked_at is None else looked_at
    low, high = wilson(hits, number)
    return Share(hits / number if number > 0 else None, low, high, count)


def cohen(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa (1960) of two raters; None without items, or if chance alone would give full agreement."""
    if not pairs:
        return None
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    number = len(pairs)
    seen = sum(one == other for one, other in pairs) / number
    chance = sum(first[label] * second[label] for label in first) / (number * number)
    return None if math.isclose(chance, 1.0) else (seen - chance) / (1 - chance)


def fleiss(ratings: Iterable[Sequence[str]]) -> float | None:
    """Fleiss' kappa (1971), for two or more raters an item, also if not all have as many; None as `cohen`."""
    counted = [Counter(labels) for labels in ratings if len(labels) > 1]
    if not counted:
        return None
    total: Counter[str] = sum(counted, Counter())
    everything = total.total()
    chance = sum((count / everything) ** 2 for count in total.values())
    seen = sum(
        sum(count * (count - 1) for count in one.values()) / (one.total() * (one.total() - 1)) for one in counted
    ) / len(counted)
    return None if math.isclose(chance, 1.0) else (seen - chance) / (1 - chance)


def agreement(verdicts: Iterable[Verdict]) -> Agreement:
    """Of each reviewer's last words."""
    clips = [{one.reviewer: one.category for one in found} for found in by_clip(verdicts).values()]
    several = [said for said in clips if len(said) > 1]
    reviewers = sorted({name for said in several for name in said})
    pairs = []
    for one, other in combinations(reviewers, 2):
        both = [(said[one], said[other]) for said in several if one in said and other in said]
        if both:
            pairs.append(Pair(one, other, len(both), sum(a == b for a, b in both), cohen(both)))
    return Agreement(tuple(pairs), len(several), fleiss([list(said.values()) for said in several]))

"""What the exact set of Action Units at the peak can tell of a label at most, and what of that generalises.

Three figures are bounded: accuracy of all records, accuracy of the non-neutral ones, and balanced accuracy. Each has
a best function of its own, so that no one function reaches all three bounds.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from merrflow.evaluate.labels import in_order

FOLDS, REPEATS, SEED = 10, 5, 0

Units = frozenset[str]
Weight = Callable[[str], float]  # what a hit on a label is worth


@dataclass(frozen=True)
class Bound:
    """One figure, 0 to 1."""

    mean: float
    spread: float | None  # standard deviation over the folds; None: not cross-validated


@dataclass(frozen=True)
class Limits:
    """Bounds of one figure."""

    majority: Bound  # the best that one and the same label for all can do
    ceiling: Bound  # the best function of the exact peak set, chosen on the very records it is measured on
    lookup: Bound | None  # that function chosen on other records; a set not seen there gets the best single label


@dataclass(frozen=True)
class LabelLimits:
    """Bounds of the three figures by which rule sets are compared."""

    sets: int  # different peak sets in the file
    single: int  # records whose peak set no other record has: for them the ceiling is bound to be right
    all: Limits
    non_neutral: Limits | None  # None where every record is neutral
    balanced: Limits


def measure_limits(sets: Sequence[Units], labels: Sequence[str], neutral: str) -> LabelLimits:
    """Bounds for records with these peak sets and labels (at least one)."""
    counts = Counter(labels)
    copies = Counter(sets)
    expressive = len(labels) - counts[neutral]
    weights: dict[str, Weight] = {
        "all": lambda label: 1 / len(labels),
        "non_neutral": lambda label: 0.0 if label == neutral else 1 / expressive,
        "balanced": lambda label: 1 / counts[label] / len(counts),
    }
    if not expressive:
        del weights["non_neutral"]
    found = {figure: _limits(sets, labels, weight) for figure, weight in weights.items()}
    return LabelLimits(
        sets=len(copies),
        single=sum(count == 1 for count in copies.values()),
        all=found["all"],
        non_neutral=found.get("non_neutral"),
        balanced=found["balanced"],
    )


def _limits(sets: Sequence[Units], labels: Sequence[str], weight: Weight) -> Limits:
    alike = [frozenset[str]()] * len(sets)
    rows = range(len(sets))
    return Limits(
        majority=Bound(_worth(_best(alike, labels, rows, weight), alike, labels, rows, weight), None),
        ceiling=Bound(_worth(_best(sets, labels, rows, weight), sets, labels, rows, weight), None),
        lookup=_cross_validated(sets, labels, weight),
    )


def _best(
    sets: Sequence[Units], labels: Sequence[str], rows: Sequence[int], weight: Weight
) -> tuple[Mapping[Units, str], str]:
    """The best label of each set, and the best for any other."""
    worth: defaultdict[Units, Counter[str]] = defaultdict(Counter)
    overall: Counter[str] = Counter()
    for row in rows:
        worth[sets[row]][labels[row]] += weight(labels[row])  # type: ignore[assignment]
        overall[labels[row]] += weight(labels[row])  # type: ignore[assignment]
    order = {label: index for index, label in enumerate(in_order(overall))}
    most = lambda counts: max(counts, key=lambda label: (counts[label], -order[label]))  # noqa: E731
    return {units: most(counts) for units, counts in worth.items()}, most(overall)


def _worth(
    function: tuple[Mapping[Units, str], str],
    sets: Sequence[Units],
    labels: Sequence[str],
    rows: Sequence[int],
    weight: Weight,
) -> float:
    by_set, other = function
    return sum(weight(labels[row]) for row in rows if by_set.get(sets[row], other) == labels[row])


def _cross_validated(sets: Sequence[Units], labels: Sequence[str], weight: Weight) -> Bound | None:
    """Repeated stratified k-fold, each record judged once in a repeat; None with fewer records than folds."""
    if max(Counter(labels).values()) < FOLDS:
        return None
    from statistics import fmean, pstdev

    from sklearn.model_selection import RepeatedStratifiedKFold

    folds = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labels with fewer records than folds are spread as far as they go
        splits = list(folds.split(labels, labels))
    # the folds are equally large and have the labels in equal shares, so that a fold's worth is 1 / FOLDS of the whole
    worth = [FOLDS * _worth(_best(sets, labels, train, weight), sets, labels, test, weight) for train, test in splits]
    return Bound(fmean(worth), pstdev(worth))

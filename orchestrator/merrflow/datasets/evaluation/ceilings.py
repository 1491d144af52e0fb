"""How much the exact set of Action Units at the peak can say of a label at most, and how much of that generalises.

Three figures are bounded: accuracy of all records, accuracy of the non-neutral ones, and balanced accuracy. Each has
a best function of its own, so that no one function reaches all three bounds.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from merrflow.datasets.evaluation.labels import in_order

FOLDS, REPEATS, SEED = 10, 5, 0

Units = frozenset[str]
Records = Counter[tuple[Units, str]]  # how many have this set and label
Weight = Callable[[str], float]  # what a hit on a label is worth


@dataclass(frozen=True)
class Bound:
    """One figure, 0 to 1."""

    mean: float
    spread: float | None  # standard deviation over the folds; None: not cross-validated


@dataclass(frozen=True)
class Ceilings:
    """Bounds of one figure."""

    majority: Bound  # the best that one and the same label for all can do
    ceiling: Bound  # the best function of the exact peak set, chosen on the very records it is measured on
    lookup: Bound | None  # that function chosen on other records; a set not seen there gets the best single label


@dataclass(frozen=True)
class LabelCeilings:
    """Bounds of the three figures by which rule sets are compared."""

    sets: int  # different peak sets in the file
    single: int  # records whose peak set no other record has: for them the ceiling is bound to be right
    all: Ceilings
    non_neutral: Ceilings | None  # None if every record is neutral
    balanced: Ceilings


def measure_ceilings(sets: Sequence[Units], labels: Sequence[str], neutral: str) -> LabelCeilings:
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
    found = {figure: _ceilings(sets, labels, weight) for figure, weight in weights.items()}
    return LabelCeilings(
        sets=len(copies),
        single=sum(count == 1 for count in copies.values()),
        all=found["all"],
        non_neutral=found.get("non_neutral"),
        balanced=found["balanced"],
    )


def _ceilings(sets: Sequence[Units], labels: Sequence[str], weight: Weight) -> Ceilings:
    records = Counter(zip(sets, labels, strict=True))
    alike = Counter((frozenset[str](), label) for label in labels)
    return Ceilings(
        majority=Bound(_worth(_best(alike, weight), alike, weight), None),
        ceiling=Bound(_worth(_best(records, weight), records, weight), None),
        lookup=_cross_validated(sets, labels, weight),
    )


def _best(records: Records, weight: Weight) -> tuple[Mapping[Units, str], str]:
    """The best label of each set, and the best for any other."""
    worth: defaultdict[Units, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    overall: defaultdict[str, float] = defaultdict(float)
    for (units, label), count in records.items():
        worth[units][label] += count * weight(label)
        overall[label] += count * weight(label)
    order = {label: index for index, label in enumerate(in_order(overall))}

    def most(counts: Mapping[str, float]) -> str:
        return max(counts, key=lambda label: (counts[label], -order[label]))

    return {units: most(counts) for units, counts in worth.items()}, most(overall)


def _worth(function: tuple[Mapping[Units, str], str], records: Records, weight: Weight) -> float:
    by_set, other = function
    return sum(count * weight(label) for (units, label), count in records.items() if by_set.get(units, other) == label)


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
    records = list(zip(sets, labels, strict=True))

    def count(rows: Iterable[int]) -> Records:
        return Counter(records[row] for row in rows)

    worth = [FOLDS * _worth(_best(count(train), weight), count(test), weight) for train, test in splits]
    return Bound(fmean(worth), pstdev(worth))

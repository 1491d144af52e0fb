"""Fits a rule set of per-unit weights to annotations, and measures its accuracy by cross-validation.

Multinomial logistic regression on the presence of Action Units. The rows of such a model are only fixed up to a common
term, so neutral's row is taken from all others: every weight is then what the unit's presence adds to the log odds of
the label against neutral. scikit-learn is needed: `pip install scikit-learn`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import numpy.typing as npt

from merrflow.core.errors import InputError
from merrflow.facs import soundness
from merrflow.facs.annotations import Annotations
from merrflow.facs.evidence import judge
from merrflow.facs.fitted import Fit, Measured
from merrflow.facs.rules import Neutral, Rule, RuleSet

FOLDS = 5
REPEATS = 5
SEED = 0
STRENGTH = 1.0  # scikit-learn's C, the inverse of the L2 penalty
# 0: rare labels are hardly ever given; 1: all labels count the same, and neutral is hardly ever given
CLASS_EXPONENT = 0.5
LEAST_RECORDS = 2 * FOLDS  # of a label, so that each fold has two to be tested on


def calibrate(annotations: Annotations, like: RuleSet, name: str, version: str = "1", measure: bool = True) -> RuleSet:
    """A rule set that decides by weights fitted to `annotations`.

    `like`: gives labels, their units, phrases and peak rules. Labels with too few records are left out. `measure`:
    also cross-validate, which takes most of the time (15 s for 2,000 records). The same records give the same set,
    whatever their order. Raises InputError if the annotations cannot be fitted.
    """
    counts = Counter(annotations.labels)
    neutral = like.neutral.label
    kept = [label for label in like.labels if counts[label] >= LEAST_RECORDS]
    if neutral not in kept or len(kept) < 2:
        others = len(set(kept) - {neutral})
        raise InputError(
            f"{annotations.file}: {counts[neutral]} records are {neutral}, and {others} other labels have "
            f"{LEAST_RECORDS} records or more; a fit needs {LEAST_RECORDS} {neutral} records and another label"
        )
    chosen = [number for number, label in enumerate(annotations.labels) if label in kept]
    labels = [annotations.labels[number] for number in chosen]
    units = [annotations.units[number] for number in chosen]
    codes = sorted(set().union(*units))
    if not codes:
        raise InputError(f"{annotations.file}: no record has an Action Unit in peak_AU_list")
    rules = _fitted(labels, units, codes, like, name, version, annotations.file)
    for fault in soundness.of_set(rules):
        raise InputError(f"{annotations.file}: these annotations do not give a usable set: {fault.message}")
    if not measure:
        return rules
    return rules.model_copy(update={"fit": _validated(rules, labels, units, codes, like, annotations, counts)})


def predict(rules: RuleSet, units: Sequence[frozenset[str]], measurable: Sequence[str]) -> list[str]:
    """The label that a rule set gives to each record's units, which have presence but no intensity."""
    best = {present: judge(rules, present, {}, measurable)[0] for present in set(units)}  # most sets come many times
    return [best[present].label if best[present].is_met else rules.neutral.label for present in units]


def accuracy(truth: Sequence[str], given: Sequence[str], neutral: str = "neutral") -> dict[str, float]:
    """Shares of right labels: `all`, `non_neutral`, `balanced` (mean of the recalls), and each label's recall."""
    right: dict[str, list[bool]] = {}
    for label, found in zip(truth, given, strict=True):
        right.setdefault(label, []).append(label == found)
    recall = {label: fmean(right[label]) for label in sorted(right)}
    expressive = [hit for label, hits in right.items() if label != neutral for hit in hits]
    return {
        "all": fmean(hit for hits in right.values() for hit in hits),
        "non_neutral": fmean(expressive) if expressive else 0.0,
        "balanced": fmean(recall.values()),
        **{f"recall {label}": share for label, share in recall.items()},
    }


def ceiling(labels: Sequence[str], units: Sequence[frozenset[str]]) -> tuple[float, float]:
    """What the best function of the exact set of units gets right on the very records it is made from, and the share
    of the sets that one record only has, on which such a function cannot be wrong."""
    by_set: dict[frozenset[str], Counter[str]] = {}
    for label, present in zip(labels, units, strict=True):
        by_set.setdefault(present, Counter())[label] += 1
    best = sum(max(counts.values()) for counts in by_set.values())
    once = sum(counts.total() == 1 for counts in by_set.values())
    return best / len(labels), once / len(by_set)


def _fitted(
    labels: Sequence[str],
    units: Sequence[frozenset[str]],
    codes: Sequence[str],
    like: RuleSet,
    name: str,
    version: str,
    source: str,
) -> RuleSet:
    from sklearn.linear_model import LogisticRegression

    counts = Counter(labels)
    # a tight tolerance, so that two digits are the same on every machine
    model = LogisticRegression(C=STRENGTH, class_weight=_class_weights(counts), tol=1e-9, max_iter=20_000)
    table = _presence(units, codes)
    model.fit(table, labels)
    weights, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one row, for the second label against the first
        weights, intercepts = np.vstack([0 * weights, weights]), np.array([0.0, *intercepts])
    row = {label: number for number, label in enumerate(model.classes_)}
    weights = weights - weights[row[like.neutral.label]]
    intercepts = intercepts - intercepts[row[like.neutral.label]]
    rules = [
        Rule(
            label=rule.label,
            aliases=rule.aliases,
            action_units=rule.action_units,
            intercept=_two_digits(intercepts[row[rule.label]]),
            weights={code: _two_digits(w) for code, w in zip(codes, weights[row[rule.label]], strict=True)},
        )
        for rule in like.rules
        if rule.label in row
    ]
    # not checked for soundness: in some fold a rare label may never win, which is part of what is measured
    return RuleSet.model_construct(
        name=name,
        version=version,
        description=f"Weights of single Action Units, fitted to {source}; labels, units and peak as in {like.title}",
        decide="weights",
        base_rates={code: _two_digits(rate) for code, rate in zip(codes, table.mean(axis=0), strict=True)},
        lexicon=like.lexicon,
        # the records have presence alone, so a unit is present if the engine says so, however weak
        peak=like.peak.model_copy(update={"minimum_intensity": 0.0, "window": 0.0}),
        neutral=Neutral(label=like.neutral.label, aliases=like.neutral.aliases),
        rules=tuple(rules),
    )


def _validated(
    rules: RuleSet,
    labels: Sequence[str],
    units: Sequence[frozenset[str]],
    codes: Sequence[str],
    like: RuleSet,
    annotations: Annotations,
    counts: Mapping[str, int],
) -> Fit:
    """The figures of sets fitted to four fifths of the records, on the last fifth, as they would decide in a run."""
    from threadpoolctl import threadpool_limits

    found: dict[str, list[float]] = {}
    others: dict[str, list[float]] = {}
    names = np.array(labels)
    with threadpool_limits(1):  # sums in one order, and no fight for cores
        for number, (train, test) in enumerate(_folds(labels)):
            known, asked = [units[i] for i in train], [units[i] for i in test]
            fold = _fitted(names[train].tolist(), known, codes, like, rules.name, rules.version, annotations.file)
            given = predict(fold, asked, codes)
            for key, share in accuracy(names[test].tolist(), given, like.neutral.label).items():
                found.setdefault(key, []).append(share)
            if number < FOLDS:
                for key, model in _without_limits():
                    model.fit(_presence(known, codes), names[train])
                    hits = model.predict(_presence(asked, codes)) == names[test]
                    others.setdefault(key, []).append(float(hits.mean()))
    best, once = ceiling(labels, units)
    kept = Counter(labels)
    return Fit(
        against=annotations.file,
        sha256=annotations.sha256,
        records={label: kept[label] for label in rules.labels},
        method=(
            f"multinomial logistic regression on the presence of {len(codes)} Action Units, L2 penalty with "
            f"C = {STRENGTH:g}; intensities are not used; neutral is the reference"
        ),
        class_weights=f"number of the label's records to the power of -{CLASS_EXPONENT:g}",
        validation=f"{FOLDS}-fold, stratified by label, {REPEATS} times, seed {SEED}; spread over the folds",
        accuracy=_measured(found["all"]),
        non_neutral=_measured(found["non_neutral"]),
        balanced=_measured(found["balanced"]),
        recall={label: _measured(found[f"recall {label}"]) for label in rules.labels},
        majority=_three_digits(max(kept.values()) / len(labels)),
        ceiling=_three_digits(best),
        sets_seen_once=_three_digits(once),
        others={key: _measured(shares) for key, shares in others.items()},
        left_out={label: counts[label] for label in like.labels if label not in kept and counts[label]},
    )


def _folds(labels: Sequence[str]) -> Iterator[tuple[Any, Any]]:
    from sklearn.model_selection import RepeatedStratifiedKFold

    folds = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=SEED)
    yield from folds.split(np.zeros(len(labels)), labels)


def _without_limits() -> Iterator[tuple[str, Any]]:
    """Methods that can learn any function of the units, to find out what is within reach at all."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.neighbors import KNeighborsClassifier

    yield "gradient boosting", HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=15, random_state=SEED)
    yield "15 nearest neighbours", KNeighborsClassifier(15, metric="hamming")
    yield "nearest neighbour", KNeighborsClassifier(1, metric="hamming")


def _class_weights(counts: Mapping[str, int]) -> dict[str, float]:
    """Weights with a mean of 1 over the records, so that the penalty keeps its meaning."""
    raw = {label: count**-CLASS_EXPONENT for label, count in counts.items()}
    mean = sum(raw[label] * count for label, count in counts.items()) / sum(counts.values())
    return {label: weight / mean for label, weight in raw.items()}


def _presence(units: Sequence[frozenset[str]], codes: Sequence[str]) -> npt.NDArray[np.float64]:
    """Records x units, 1 where present."""
    return np.array([[code in present for code in codes] for present in units], dtype=np.float64)


def _measured(shares: Sequence[float]) -> Measured:
    return Measured(mean=_three_digits(fmean(shares)), spread=_three_digits(pstdev(shares)))


def _two_digits(value: float) -> float:
    return round(float(value), 2) + 0.0  # no -0.0


def _three_digits(value: float) -> float:
    return round(float(value), 3)

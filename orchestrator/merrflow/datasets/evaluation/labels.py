"""How well labels agree: accuracy, balanced accuracy, Cohen's kappa, confusion, and each label by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from merrflow.core.errors import InputError
from merrflow.datasets.evaluation.measures import Detection, Share, mean, share
from merrflow.facs import RuleSet, UnknownLabel, load_rules
from merrflow.formats.merr import MerrAnnotation


@dataclass(frozen=True)
class LabelRow:
    """One label."""

    label: str
    clips: int  # that have it in the file
    given: int  # that are given it
    detection: Detection


@dataclass(frozen=True)
class LabelMeasures:
    """Labels given against the file's."""

    accuracy: Share
    non_neutral: Share  # of the clips that are not neutral in the file
    balanced: float | None  # mean recall over the labels that the file has (balanced accuracy)
    kappa: float | None  # Cohen's (1960): 0 as good as chance, 1 perfect; None if there is only one label
    macro_f1: float | None  # mean over the labels that the file has
    majority: Share  # what the file's commonest label, always given, would get
    majority_label: str
    rows: tuple[LabelRow, ...]
    confusion: tuple[tuple[int, ...], ...]  # row: the file's label, column: the one given; both as in `rows`


def measure_labels(file: Sequence[str], given: Sequence[str], neutral: str) -> LabelMeasures | None:
    """Measures `given` against `file`, clip by clip; None without clips. `neutral`: the neutral label's name."""
    if not file:
        return None
    from sklearn.metrics import cohen_kappa_score

    labels = in_order({*file, *given})
    pairs, there, said = Counter(zip(file, given, strict=True)), Counter(file), Counter(given)
    rows = []
    for label in labels:
        right = pairs[label, label]
        detection = Detection.of(right, said[label] - right, there[label] - right)
        rows.append(LabelRow(label, there[label], said[label], detection))
    present = [row.detection for row in rows if row.clips]
    kappa = float(cohen_kappa_score(file, given, labels=labels)) if len(labels) > 1 else None
    commonest = min(there.items(), key=lambda item: (-item[1], labels.index(item[0])))
    return LabelMeasures(
        accuracy=share(a == b for a, b in zip(file, given, strict=True)),
        non_neutral=share(a == b for a, b in zip(file, given, strict=True) if a != neutral),
        balanced=mean(row.recall for row in present),
        kappa=kappa,
        macro_f1=mean(row.f1 for row in present),
        majority=Share(commonest[1], len(file)),
        majority_label=commonest[0],
        rows=tuple(rows),
        confusion=tuple(tuple(pairs[row, column] for column in labels) for row in labels),
    )


def in_order(labels: Iterable[str]) -> list[str]:
    """Neutral first, then the default set's order, then the alphabet."""
    known = load_rules("default").labels
    return sorted(labels, key=lambda label: (known.index(label) if label in known else len(known), label))


def normal(annotation: MerrAnnotation, rule_sets: Sequence[RuleSet], known: Iterable[str], where: object) -> str:
    """The label in the project's own word ("anger" is "angry"), by the first rule set that has it.

    `known`: labels that are left as they are. Raises InputError that names the file (`where`), the clip and the label.
    """
    label = annotation.label or ""
    if label in known:
        return label
    for rules in rule_sets:
        try:
            return rules.normal(label)
        except UnknownLabel:
            continue
    allowed = in_order({*known, *(word for rules in rule_sets for word in rules.labels)})
    raise InputError(f"{annotation.place(where)}: unknown label {label!r}; known are {', '.join(allowed)}")

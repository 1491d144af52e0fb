"""An audit: a seeded sample of the records, judged blind, and how far people agree with them.

`audit.json` in the output folder keeps which clips were drawn, with the label that each had then.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from merrflow.core.atomic_files import whole_text
from merrflow.core.errors import InputError
from merrflow.core.fingerprint import fingerprint, fraction
from merrflow.datasets.review.agreement import Agreement, Share, agreement, share_of
from merrflow.datasets.review.index import Item
from merrflow.datasets.review.verdicts import CLUES, Kind, Verdict, by_clip, standing
from merrflow.store import Ledger

FILE = "audit.json"
LEAST = 5  # clips of a label, if it has so many: with less, its figure says nothing


class Drawn(BaseModel):
    """One clip of the sample."""

    model_config = ConfigDict(frozen=True)
    name: str
    sha256: str
    label: str  # of its record when it was drawn


class Audit(BaseModel):
    """What was drawn."""

    model_config = ConfigDict(frozen=True)
    id: str = Field(min_length=1)
    sample: int
    seed: int
    strata: Mapping[str, int]  # label -> records of it when the sample was drawn
    drawn: tuple[Drawn, ...]


@dataclass(frozen=True)
class AuditReport:
    """What came of it. A clip counts as right if most of its reviewers (of ties the last) gave the record's label."""

    id: str
    seed: int
    sample: int
    judged: int
    rejected: int
    overall: Share  # weighted by how many records a label has in the dataset
    labels: Mapping[str, Share]
    clues: Mapping[str, Share]  # right, of those that were judged right or wrong
    people: Agreement


def draw(items: Iterable[Item], sample: int, seed: int) -> Audit:
    """A sample in proportion to the labels, at least `LEAST` of each; drawn by a hash of the seed and the clip's bytes.

    Raises `InputError` without records or a sample.
    """
    strata: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        strata[item.label].append(item)
    total = sum(map(len, strata.values()))
    if not total or sample < 1:
        raise InputError("--sample: no clip to draw; give a number from 1 on, and a run that has records")
    drawn = []
    numbers = _numbers({label: len(found) for label, found in sorted(strata.items())}, sample)
    for label, number in numbers.items():
        found = strata[label]
        chosen = sorted(found, key=lambda item: (fraction("audit", seed, item.sha256 or item.name), item.name))
        drawn += [Drawn(name=item.name, sha256=item.sha256, label=label) for item in chosen[:number]]
    drawn = sorted(drawn, key=lambda one: fraction("audit order", seed, one.name))
    return Audit(
        id=fingerprint("audit", seed, [one.model_dump() for one in drawn])[:16],
        sample=sample,
        seed=seed,
        strata={label: len(found) for label, found in sorted(strata.items())},
        drawn=tuple(drawn),
    )


def _numbers(strata: Mapping[str, int], sample: int) -> dict[str, int]:
    """How many of each label: in proportion, but no label without some, and `sample` in all if there are so many. Of
    fewer clips than labels, one each."""
    total = sum(strata.values())
    least = max(1, min(LEAST, sample // len(strata)))
    found = {label: min(count, max(least, sample * count // total)) for label, count in strata.items()}
    while sum(found.values()) < min(sample, total):  # what rounding left: to the label that lacks most of its share
        room = [label for label in found if found[label] < strata[label]]
        found[max(room, key=lambda label: sample * strata[label] / total - found[label])] += 1
    while sum(found.values()) > sample and max(found.values()) > least:  # what small labels took
        above = [label for label in found if found[label] > least]
        found[max(above, key=lambda label: found[label])] -= 1
    return found


def write_audit(out: Path, audit: Audit) -> None:
    """Writes OUT/audit.json whole or not at all. Raises `InputError`."""
    try:
        with whole_text(out / FILE) as file:
            file.write(audit.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise InputError(f"{out / FILE}: cannot be written ({error.strerror or error}); make room") from error


def read_audit(out: Path) -> Audit | None:
    """The audit of the folder; None if there is none. Raises `InputError` if the file cannot be used."""
    try:
        return Audit.model_validate_json((out / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise InputError(f"{out / FILE}: cannot be used; put back the file that was there, or remove it") from error


def audited(ledger: Ledger, out: Path) -> AuditReport | None:
    """What came of the folder's audit; None if there is none, or nobody judged a clip yet. Raises `InputError`."""
    audit = read_audit(out)
    if audit is None:
        return None
    found = report(audit, standing(ledger.verdicts(), audit.id))
    return found if found.judged else None


def report(audit: Audit, verdicts: Sequence[Verdict]) -> AuditReport:
    """Agreement by label and clue. verdicts: the audit's own, in order."""
    said = by_clip(verdicts)
    by_label: defaultdict[str, list[bool]] = defaultdict(list)
    clues: dict[str, Counter[str]] = {clue: Counter() for clue in CLUES}
    rejected = 0
    for one in audit.drawn:
        found = [verdict for verdict in said.get(one.name, ()) if verdict.sha256 == one.sha256]
        if not found:
            continue
        kept = [verdict for verdict in found if verdict.kind is Kind.KEEP]
        for verdict in kept:
            for clue, value in verdict.said.clues.items():
                clues[clue][value] += 1
        if 2 * len(kept) <= len(found) and found[-1].kind is Kind.REJECT:
            rejected += 1
            continue
        counts = Counter(verdict.said.label for verdict in kept)
        most = max((verdict.said.label for verdict in reversed(kept)), key=lambda label: counts[label])
        by_label[one.label].append(most == one.label)
    return AuditReport(
        id=audit.id,
        seed=audit.seed,
        sample=len(audit.drawn),
        judged=rejected + sum(map(len, by_label.values())),
        rejected=rejected,
        overall=_weighted(by_label, audit.strata),
        labels={label: share_of(sum(hits), len(hits)) for label, hits in sorted(by_label.items())},
        clues={
            clue: share_of(counts["right"], counts["right"] + counts["wrong"])
            for clue, counts in clues.items()
            if counts["right"] + counts["wrong"]
        },
        people=agreement(verdicts),
    )


def _weighted(by_label: Mapping[str, Sequence[bool]], strata: Mapping[str, int]) -> Share:
    """A label's clips stand for its records. The interval is of Kish's effective sample size (1965)."""
    weights = {label: strata[label] / len(hits) for label, hits in by_label.items() if hits}
    total = sum(weights[label] * len(by_label[label]) for label in weights)
    if not total:
        return share_of(0, 0)
    share = sum(weights[label] * sum(by_label[label]) for label in weights) / total
    size = total**2 / sum(weights[label] ** 2 * len(by_label[label]) for label in weights)
    return share_of(share * size, size, sum(map(len, by_label.values())))


def as_json(found: AuditReport) -> dict[str, Any]:
    """The report as JSON."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(found)))
    return values

"""Reading a run's results back, in order of name, for exporters and the report."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from merrflow.core.records import Outcome, Record
from merrflow.datasets.review.corrected import corrected
from merrflow.datasets.review.verdicts import Decision, decisions
from merrflow.datasets.scoring.scores import NOT_SCORED, Kept, TextScores
from merrflow.store import Ledger, StageRow
from merrflow_serving.errors import first_fault

RECORDS = TypeAdapter(Record)
Value = TypeVar("Value")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One clip that has a record, and how it came out."""

    record: Record
    outcome: Outcome  # DONE: coarse and fine; any other but SKIPPED: coarse only
    reason: str
    decision: Decision | None = None  # of people (merrflow review), which the record follows
    scores: TextScores = NOT_SCORED  # of the fine-grained text (merrflow score)

    @property
    def fine_text(self) -> str | None:
        """The fine-grained description; None if there is none that counts."""
        return _fine_text(self.record, self.outcome)

    @property
    def is_fine(self) -> bool:
        """Whether it has a fine-grained description that counts."""
        return self.fine_text is not None


def parsed(
    ledger: Ledger, parser: TypeAdapter[Value], names: Collection[str] | None = None
) -> Iterator[tuple[str, StageRow, Value]]:
    """Name, row and record of every clip that has one, by name. names: those wanted (None: all).

    Records that cannot be parsed, such as those of another version of merrflow, are left out with one warning, and the
    next run makes them again.
    """
    lost = 0
    try:
        for name, row in ledger.records():
            if names is not None and name not in names:
                continue
            try:
                record = parser.validate_json(row.payload)
            except ValidationError as error:
                lost += 1
                if lost == 1:
                    log.warning("the record of clip %s cannot be parsed (%s)", name, first_fault(error))
                ledger.undo(name)
                continue
            yield name, row, record
    finally:
        if lost:
            log.warning(
                "%s: records that cannot be parsed and are left out: %d; run merrflow run again to make them anew",
                *(ledger.location, lost),
            )


def entries(ledger: Ledger, names: Collection[str] | None = None) -> Iterator[Entry]:
    """Every clip with a record, by name, as people corrected it. names: those wanted (None: all); the others are not
    parsed."""
    paths = ledger.path_texts()  # where the clips are now; they may have been moved since
    people, kept = decisions(ledger), Kept(ledger)
    for name, row, record in parsed(ledger, RECORDS, names):
        if name in paths:  # else a run that is still going has added it
            record = replace(record, path=paths[name])
        yield entry_of(record, row, people.get(name), kept)


def entry_of(record: Record, row: StageRow, decision: Decision | None, kept: Kept | None = None) -> Entry:
    """The entry of a record and its row, as people decided; `decision` is None if nobody looked at it."""
    outcome, reason = row.outcome, row.reason
    if decision is not None and decision.sha256 != record.sha256:
        decision = None
    if decision is not None:
        record, outcome, reason = corrected(record, outcome, reason, decision)
    scores = kept.of(record, _fine_text(record, outcome)) if kept else NOT_SCORED
    return Entry(record, outcome, reason, decision, scores)


def _fine_text(record: Record, outcome: Outcome) -> str | None:
    return record.reasoning.text if record.reasoning is not None and outcome is Outcome.DONE else None

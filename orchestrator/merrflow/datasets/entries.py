"""Reading a run's results back, in order of name, for exporters and the report."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from merrflow.core.paths import path_text
from merrflow.core.records import Outcome, Record
from merrflow.store import Ledger

RECORDS = TypeAdapter(Record)


@dataclass(frozen=True)
class Entry:
    """One clip that has a record, and how it came out."""

    record: Record
    outcome: Outcome  # DONE: coarse and fine; REFUSED, TRUNCATED, FAILED: coarse only
    reason: str

    @property
    def fine_text(self) -> str | None:
        """The fine-grained description; None if there is none that counts."""
        reasoning = self.record.reasoning
        return reasoning.text if reasoning is not None and self.outcome is Outcome.DONE else None

    @property
    def is_fine(self) -> bool:
        """Whether it has a fine-grained description that counts."""
        return self.fine_text is not None


def entries(ledger: Ledger, names: Collection[str] | None = None) -> Iterator[Entry]:
    """Every clip with a record, by name. names: those wanted (None: all); the others are not parsed."""
    paths = ledger.names()  # where the clips are now; they may have been moved since
    for name, row in ledger.records():
        if names is not None and name not in names:
            continue
        record = RECORDS.validate_json(row.payload)
        if name in paths:  # else a run that is still going has added it
            record = replace(record, path=path_text(paths[name]))
        yield Entry(record, row.outcome, row.reason)

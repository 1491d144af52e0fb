"""A run's clips in a line each, for a table in a page: label, how sure it is, what is said, and why."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from pydantic import ValidationError

from merrflow.datasets.entries import RECORDS, Entry, entry_of
from merrflow.datasets.export.text import one_line
from merrflow.datasets.review.verdicts import decisions
from merrflow.datasets.standings import standing_of
from merrflow.store import RECORD, Ledger

LONGEST = {"subtitle": 40, "reason": 300}  # characters; Prefect's newer pages do not break lines


def clip_rows(ledger: Ledger, names: Collection[str], limit: int) -> list[dict[str, str]]:
    """The first `limit` of these clips, by name; each cell is one line. Blocking.

    `confidence` is the label's standing. `reason` says why a clip has no fine-grained description, and is that
    description if it has one. Markup in the texts is left as it is: whoever shows them has to see to it.
    """
    people = decisions(ledger)
    table = []
    for row in [row for row in ledger.clips() if row.clip.name in names][:limit]:
        kept = ledger.stage(row.clip.name, RECORD, row.fingerprint) if row.fingerprint else None
        entry = None
        if kept and kept.payload:
            with suppress(ValidationError):  # the next run makes it again
                entry = entry_of(RECORDS.validate_json(kept.payload), kept, people.get(row.clip.name))
        cells = _cells(entry)
        cells["outcome"] = str((entry.outcome if entry else row.outcome) or "unfinished")
        cells["reason"] = cells["reason"] or row.reason
        table.append({"clip": row.clip.name} | {name: _bounded(name, text) for name, text in cells.items()})
    return table


def _cells(entry: Entry | None) -> dict[str, str]:
    cells = dict.fromkeys(("outcome", "label", "confidence", "subtitle", "reason"), "")
    if entry:
        cells["label"] = entry.record.label.label
        cells["confidence"] = standing_of(entry)[0] or ""
        cells["subtitle"] = entry.record.subtitle.text or ""
        cells["reason"] = entry.fine_text or ""
    return cells


def _bounded(name: str, text: str) -> str:
    line, longest = one_line(text), LONGEST.get(name, 200)
    return line if len(line) <= longest else line[: longest - 1] + "…"

"""`records.jsonl`: every clue with its origin; `dropped.jsonl`: every clip that is not in the files, and why."""

from __future__ import annotations

import json
from pathlib import Path

from merrflow.export.dataset import RECORDS, entries
from merrflow.export.files import whole_text
from merrflow.inputs import path_text
from merrflow.ledger import Ledger


def write_records(ledger: Ledger, path: Path) -> int:
    """One line a record, by name, without the curves. Returns how many."""
    count = 0
    with whole_text(path) as file:
        for entry in entries(ledger):
            values = RECORDS.dump_python(entry.record, mode="json", exclude={"curves"})
            values = {"name": values.pop("name"), "outcome": entry.outcome, "reason": entry.reason} | values
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
            count += 1
    return count


def write_dropped(ledger: Ledger, path: Path) -> int:
    """One line for each clip that lacks a fine-grained record or any at all. Returns how many."""
    # name -> whether the fine-grained text counts, and why not; not the records, which may be many
    described = {
        entry.record.name: (entry.is_fine, entry.record.missing.get("reasoning", "")) for entry in entries(ledger)
    }
    count = 0
    with whole_text(path) as file:
        for row in ledger.clips():
            known = described.get(row.clip.name)
            if known and known[0]:
                continue
            reason = row.reason or (known[1] if known else "")
            values = {
                "name": row.clip.name,
                "path": path_text(row.clip.path),
                "outcome": row.outcome or "unfinished",
                "reason": reason or "the run was stopped before this clip was finished",
                "not_in": ["fine"] if known else ["coarse", "fine"],
                "next_run_tries_again": row.retry or row.outcome is None,
            }
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
            count += 1
    return count

"""`records.jsonl`: every clue with its origin; `dropped.jsonl`: every clip that is not in the files, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from merrflow.core.atomic_files import whole_text
from merrflow.core.paths import path_text
from merrflow.datasets.entries import RECORDS, Entry
from merrflow.datasets.export.text import clean
from merrflow.datasets.export.writer import Writer
from merrflow.datasets.scoring.files import as_values
from merrflow.store import Ledger

# Long rows of numbers that pictures and filters need and readers of records do not.
LEFT_OUT: Mapping[str, bool | set[str]] = {"curves": True, "probe": {"voice_energy", "likeness"}}


class RecordLines(Writer):
    """One line a record, by name, without curves, voice energy and perceptual hashes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = self.files.enter_context(whole_text(path))

    def add(self, entry: Entry) -> str:
        values = RECORDS.dump_python(entry.record, exclude=LEFT_OUT)
        values = {"name": values.pop("name"), "outcome": entry.outcome, "reason": entry.reason} | values
        if entry.scores:
            values["scores"] = as_values(entry.scores)
        self._file.write(clean(json.dumps(values, ensure_ascii=False)) + "\n")
        return ""


class DroppedLines(Writer):
    """One line for each clip without a fine-grained record, or without any."""

    def __init__(self, ledger: Ledger, path: Path) -> None:
        super().__init__()
        self.count = 0
        self._ledger = ledger
        self._file = self.files.enter_context(whole_text(path))
        # name -> whether the fine-grained text counts, and why not; not the records, which may be many
        self._described: dict[str, tuple[bool, str]] = {}

    def add(self, entry: Entry) -> str:
        self._described[entry.record.name] = (entry.is_fine, entry.record.missing.get("reasoning", ""))
        return ""

    def finish(self) -> tuple[str, ...]:
        for row in self._ledger.clips():
            known = self._described.get(row.clip.name)
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
            self._file.write(clean(json.dumps(values, ensure_ascii=False)) + "\n")
            self.count += 1
        return ()

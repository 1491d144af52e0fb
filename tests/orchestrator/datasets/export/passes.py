"""One file of a run at a time, each in a pass over the ledger of its own."""

from __future__ import annotations

from pathlib import Path

from merrflow.datasets.entries import entries
from merrflow.datasets.export.jsonl import DroppedLines, RecordLines
from merrflow.datasets.export.merr import MerrFiles
from merrflow.store import Ledger


def write_merr(ledger: Ledger, folder: Path) -> tuple[int, int]:
    """Writes MERR's four files into `folder` and returns how many coarse and fine records they hold."""
    with MerrFiles(folder) as writer:
        for entry in entries(ledger):
            writer.add(entry)
    return writer.coarse, writer.fine


def write_records(ledger: Ledger, path: Path) -> int:
    """Writes `records.jsonl`. Returns how many lines it has."""
    with RecordLines(path) as writer:
        for entry in entries(ledger):
            writer.add(entry)
    return len(path.read_text(encoding="utf-8").splitlines())


def write_dropped(ledger: Ledger, path: Path) -> int:
    """Writes `dropped.jsonl`. Returns how many lines it has."""
    with DroppedLines(ledger, path) as writer:
        for entry in entries(ledger):
            writer.add(entry)
        writer.finish()
    return writer.count

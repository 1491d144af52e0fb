"""The files that every run ends with, in one pass over its ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from merrflow.datasets.entries import entries
from merrflow.datasets.export.jsonl import DroppedLines, RecordLines
from merrflow.datasets.export.merr import MerrFiles
from merrflow.datasets.export.writer import Writer
from merrflow.datasets.outputs_state import Written
from merrflow.store import Ledger


def write_all(ledger: Ledger, out: Path, also: Sequence[Writer] = ()) -> Written:
    """Writes `merr/`, `records.jsonl` and `dropped.jsonl` of a run. Blocking.

    The records are read and parsed once, for all files together. also: more writers to be fed in the same pass.
    Raises `OSError`; each file is then the old one or the whole new one.
    """
    labels: Counter[str] = Counter()
    with ExitStack() as stack:
        merr = stack.enter_context(MerrFiles(out / "merr"))
        records = stack.enter_context(RecordLines(out / "records.jsonl"))
        dropped = stack.enter_context(DroppedLines(ledger, out / "dropped.jsonl"))
        writers = [merr, records, dropped, *(stack.enter_context(writer) for writer in also)]
        for entry in entries(ledger):
            labels[entry.record.label.label] += 1
            for writer in writers:
                writer.add(entry)
        for writer in (merr, records, dropped):
            writer.finish()
        remarks = tuple(remark for writer in also for remark in writer.finish())
    return Written(merr.coarse, merr.fine, dropped.count, dict(labels.most_common()), remarks)

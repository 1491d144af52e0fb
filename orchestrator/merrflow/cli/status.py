"""`merrflow status`: what the ledger of a run says."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from merrflow.core.records import Outcome
from merrflow.datasets.entries import entries
from merrflow.stages.graph import GRAPH
from merrflow.store import existing_ledger

SHOWN_REASONS = 20


def read_status(out: Path) -> dict[str, Any]:
    """Counts of outcomes, labels and reasons, and the mean seconds of each stage."""
    ledger = existing_ledger(out)
    labels: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    worked: Counter[str] = Counter()
    for entry in entries(ledger):
        labels[entry.record.label.label] += 1
        for stage, value in entry.record.seconds.items():
            seconds[stage] += value
            worked[stage] += 1
    rows = ledger.clips()  # after the records: one that cannot be parsed leaves its clip unfinished
    reasons = Counter((str(row.outcome), row.reason) for row in rows if row.outcome not in (None, Outcome.DONE))
    ledger.close()
    return {
        "out": str(out.absolute()),
        "clips": len(rows),
        "outcomes": dict(Counter(str(row.outcome or "unfinished") for row in rows)),
        "labels": dict(labels.most_common()),
        "try_again": sum(row.retry for row in rows),
        "reasons": [
            {"outcome": outcome, "reason": reason, "clips": count} for (outcome, reason), count in reasons.most_common()
        ],
        "mean_seconds": {
            stage.name: round(seconds[stage.name] / worked[stage.name], 3) for stage in GRAPH if stage.name in seconds
        },
    }


def show_status(found: dict[str, Any], console: Console) -> None:
    """The same as tables."""
    console.print(f"{found['out']}: {found['clips']} clips")
    for title, value, key in (
        ("outcome", "clips", "outcomes"),
        ("label", "clips", "labels"),
        ("stage", "mean seconds", "mean_seconds"),
    ):
        if found[key]:
            table = Table(title, value)
            for name, count in found[key].items():
                table.add_row(name, str(count))
            console.print(table)
    if found["reasons"]:
        table = Table("outcome", "clips", "reason")
        for row in found["reasons"][:SHOWN_REASONS]:
            table.add_row(row["outcome"], str(row["clips"]), row["reason"])
        console.print(table)
    if found["try_again"]:
        console.print(f"{found['try_again']} clips failed for a reason that may pass; run the same command again")

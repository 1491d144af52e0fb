"""The review queue as JSON values and as a CSV for spreadsheets."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from merrflow.core.atomic_files import whole_text
from merrflow.core.paths import path_text
from merrflow.datasets.export.text import cell
from merrflow.datasets.mining.rank import Candidate, Mined

COLUMNS = ("rank", "name", "path", "score", "frame", "seconds", "label", "reasons")


def values(mined: Mined) -> dict[str, Any]:
    """All of it, for --json."""
    return {
        "label": mined.label,
        "rules": mined.rules,
        "clips": mined.clips,
        "without_face": mined.without_face,
        "limits": list(mined.limits),
        "candidates": [
            {
                "rank": one.rank,
                "name": one.name,
                "path": path_text(one.path),
                "score": one.score,
                "frame": one.frame,
                "seconds": round(one.seconds, 3),
                "label": one.label or None,
                "standing": one.standing or None,
                "outcome": one.outcome,
                "reasons": list(one.reasons),
                "box": list(one.box) if one.box else None,
            }
            for one in mined.candidates
        ],
    }


def write_csv(mined: Mined, path: Path) -> None:
    """A row a candidate: UTF-8 with a byte order mark, for Excel; no cell can be taken for a formula."""
    with whole_text(path) as file:
        file.write("\ufeff")
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in mined.candidates:
            texts = (one.name, path_text(one.path), shown_label(one), "; ".join(one.reasons))
            name, place, label, reasons = (cell(text)[0] for text in texts)
            writer.writerow([one.rank, name, place, one.score, one.frame, round(one.seconds, 3), label, reasons])


def shown_label(one: Candidate) -> str:
    """The label, or why there is none: "skipped"."""
    return one.label or f"({one.outcome})"

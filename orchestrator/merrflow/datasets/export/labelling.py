"""What the labelling tools show of a record, in words."""

from __future__ import annotations

from merrflow.core.records import Record
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.text import one_line

CLUES = ("scene", "expressions", "tone", "subtitle", "coarse")
TEXTS = (*CLUES, "fine")


def in_words(entry: Entry) -> dict[str, str]:
    """A line for each of TEXTS; "" where the record has none."""
    record = entry.record
    return {
        "scene": one_line(record.scene.text if record.scene else ""),
        "expressions": one_line("; ".join(record.label.expressions)),
        "tone": one_line(record.tone.text if record.tone else ""),
        "subtitle": one_line(record.subtitle.text or ""),
        "coarse": one_line(record.coarse),
        "fine": one_line(entry.fine_text or ""),
    }


def certainty(record: Record) -> float | None:
    """How likely the reasoning model finds the label given all clues, 0 to 1; None if it was not asked."""
    return record.distribution.get("all", {}).get(record.label.label)

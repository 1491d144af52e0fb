"""One CSV with one row per clip, for spreadsheets and statistics programs.

It begins with a byte order mark: without it Excel reads UTF-8 as the system's old code page. pandas and LibreOffice
skip it; Python's csv module does with encoding "utf-8-sig", R's read.csv with fileEncoding "UTF-8-BOM".
Texts are quoted, of one line, and run no formula; see text.cell. Numbers are bare; an empty cell is a value that the
record does not have.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from merrflow.core.atomic_files import whole_text
from merrflow.core.records import Record
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.format import Format, FormatOptions, Target
from merrflow.datasets.export.text import cell
from merrflow.datasets.export.vocabulary import Vocabulary
from merrflow.datasets.export.writer import Writer
from merrflow.datasets.standings import standing_of, votes_in_words

NAME = "clips.csv"
_DIGITS = 6  # after the point: beyond what any of the engines measures


class Spreadsheet(Writer):
    """Writes `folder/clips.csv`."""

    def __init__(self, folder: Path, words: Vocabulary) -> None:
        super().__init__()
        self._words = words
        self._cut = 0
        self._head: list[str] | None = None
        file = self.files.enter_context(whole_text(folder / NAME))
        file.write("\ufeff")
        self._writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")

    def add(self, entry: Entry) -> str:
        values = row(entry, self._words)
        if self._head is None:
            self._head = list(values)
            self._writer.writerow([cell(name)[0] for name in self._head])
        self._writer.writerow([self._cell(value) for value in values.values()])
        return ""

    def finish(self) -> tuple[str, ...]:
        return (f"texts cut to what a cell of a spreadsheet holds: {self._cut}",) if self._cut else ()

    def _cell(self, value: Any) -> Any:
        if value is None:
            return ""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float):
            return round(value, _DIGITS) if abs(value) < float("inf") else ""  # NaN and infinite: not a value
        if isinstance(value, int):
            return value
        text, is_cut = cell(value)
        self._cut += is_cut
        return text


class Csv(Format[FormatOptions]):
    """The format `csv`."""

    name = "csv"
    about = "one row per clip, for spreadsheets and statistics programs"

    def writer(self, target: Target) -> Spreadsheet:
        return Spreadsheet(target.folder, target.vocabulary())


def row(entry: Entry, words: Vocabulary) -> dict[str, Any]:
    """Column -> value, in order. The columns' names have the units."""
    record = entry.record
    probe, peak, label = record.probe, record.peak, record.label
    values: dict[str, Any] = {
        "name": record.name,
        "path": record.path,
        "outcome": str(entry.outcome),
        "reason": entry.reason or record.missing.get("reasoning", ""),
        "label": label.label,
        "label_source": label.source,
        "rules": label.rules,
        "label_by_rules": label.ruled,
        "label_supported": label.supported,
        "label_reason": label.reason,
        "standing": standing_of(entry)[0],
        "standing_reason": standing_of(entry)[1],
        "witness_votes": "; ".join(votes_in_words(label)),
        "AU_list": " ".join(label.action_units),
        "expressions": "; ".join(label.expressions),
        "peak_frame": peak.index,
        "peak_seconds": peak.timestamp,
        "peak_AU_list": " ".join(peak.action_units),
        "peak_confidence": peak.confidence,
    }
    values |= {f"{code}_intensity": peak.intensity.get(code) for code in words.action_units}
    values |= {
        "subtitle": record.subtitle.text,
        "subtitle_en": record.translation.text if record.translation else None,
        "subtitle_language": record.subtitle.language,
        "subtitle_source": record.subtitle.source,
        "scene": record.scene.text if record.scene else None,
        "tone": record.tone.text if record.tone else None,
        "tone_content": record.tone.content if record.tone else None,
    }
    measured = record.tone.measurements if record.tone else {}
    values |= {_with_unit(name, unit): measured.get(name, (None,))[0] for name, unit in words.prosody}
    values |= {
        "tone_claims_contradicted": sum(claim.verdict == "contradicted" for claim in record.grounding),
        "coarse": record.coarse,
        "fine": entry.fine_text,
    }
    scores = entry.scores.values()
    values |= {f"score_{name}": scores.get(name) for name in words.scores}
    shares = record.distribution.get("all", {})
    values |= {f"p_{name}": shares.get(name) for name in words.labels}
    values |= {
        "frames": probe.frame_count,
        "frames_per_second": probe.fps,
        "seconds": probe.seconds,
        "width": probe.width,
        "height": probe.height,
        "shots": len(probe.shots),
        "persons": record.subject.persons,
        "subject_margin": record.subject.margin,
        "missing": "; ".join(f"{clue}: {why}" for clue, why in sorted(record.missing.items())),
    }
    values |= {f"{clue}_by": _writer(record, clue) for clue in words.clues}
    return values | {"sha256": record.sha256}


def _with_unit(name: str, unit: str) -> str:
    return f"voice_{name} ({unit})" if unit not in ("", "1") else f"voice_{name}"


def _writer(record: Record, clue: str) -> str | None:
    """Engine, model and revision behind a clue."""
    origin = record.origins.get(clue)
    return " ".join(filter(None, (origin.engine, origin.model, origin.revision))) if origin else None

"""`scores.csv` and `scores.jsonl` of a run, and the figures over all records."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from merrflow.core.atomic_files import whole_text
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.text import cell, clean
from merrflow.datasets.export.writer import Writer
from merrflow.datasets.scoring.measures import ABOUT
from merrflow.datasets.scoring.scores import JUDGED, MEASURED, MEASURES, TextScores
from merrflow.stages.claims.judge import Finding
from merrflow.store import Ledger

CSV, LINES = "scores.csv", "scores.jsonl"
BINS = 10  # of a histogram from 0 to 1
_DIGITS = 4  # after the point
_WORDS = {Finding.SUPPORTED: "supports", Finding.CONTRADICTED: "contradicts", Finding.NOT_TOLD: "finds not told"}


@dataclass
class Figure:
    """One score over all records that have a text."""

    name: str
    about: str
    total: float = 0.0
    measured: int = 0
    bins: list[int] = field(default_factory=lambda: [0] * BINS)  # of values from 0 to 1
    why_not: Counter[str] = field(default_factory=Counter)  # reason -> records

    @property
    def mean(self) -> float | None:
        """None if nothing was measured."""
        return self.total / self.measured if self.measured else None

    @property
    def is_share(self) -> bool:
        """Whether every value is within 0 and 1, so that the bins hold them all."""
        return sum(self.bins) == self.measured

    def add(self, value: float | None, reason: str) -> None:
        if value is None:
            self.why_not[reason] += 1
            return
        self.total += value
        self.measured += 1
        if 0 <= value <= 1:
            self.bins[min(BINS - 1, int(value * BINS))] += 1


class Tally:
    """Sums up scores as records pass."""

    def __init__(self) -> None:
        self._figures: dict[str, Figure] = {}
        self.texts = 0

    def add(self, entry: Entry) -> None:
        """Takes one record into the figures, if it has scores."""
        if not entry.scores:
            return
        self.texts += 1
        measures = entry.scores.measures
        for name, value in entry.scores.values().items():
            figure = self._figures.setdefault(name, Figure(name, about(name)))
            figure.add(value, measures[name].reason if name in measures else "the text claims nothing")

    def figures(self) -> tuple[Figure, ...]:
        """Claims by judge first, then the measures in their order."""
        return tuple(self._figures[name] for name in sorted(self._figures, key=place))


def about(name: str) -> str:
    """What a score is, in a few words."""
    if name in ABOUT:
        return ABOUT[name]
    judge, finding = name.split("_", 1)
    return f"claims of the text that the judge {judge} {_WORDS[Finding[finding.upper()]]}, of all"


def place(name: str) -> tuple[int, str, int]:
    """By which names of scores are put in order: each judge's three, then the measures."""
    if name in ABOUT:
        return 1, "", list(ABOUT).index(name)
    judge, finding = name.split("_", 1)
    return 0, judge, list(Finding).index(Finding[finding.upper()])


def score_names(ledger: Ledger) -> tuple[str, ...]:
    """Every score that the ledger keeps of some record, in order."""
    judges = {judge for _, judge in ledger.scored()}
    names = [f"{judge}_{finding.name.lower()}" for judge in judges - {MEASURES} for finding in Finding]
    return tuple(sorted(names + (list(ABOUT) if MEASURES in judges else []), key=place))


def as_values(scores: TextScores) -> dict[str, Any]:
    """As JSON: each judge's claims with their judgement, and each measure with its value or why there is none."""
    return {
        "claims": {judge: JUDGED.dump_python(found, mode="json") for judge, found in sorted(scores.judged.items())},
        "measures": MEASURED.dump_python(dict(scores.measures), mode="json"),
    }


class ScoreFiles(Writer):
    """Writes both files into a folder: one line per record with a text, by name. An empty cell was not measured."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        """names: of the scores, as `score_names`."""
        super().__init__()
        self.tally = Tally()
        self._names = names
        self._lines = self.files.enter_context(whole_text(folder / LINES))
        table = self.files.enter_context(whole_text(folder / CSV))
        table.write("\ufeff")  # else Excel reads UTF-8 as the system's old code page
        self._table = csv.writer(table, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        self._table.writerow(["name", "label", "claims", *names])

    def add(self, entry: Entry) -> str:
        if entry.fine_text is None or not entry.scores:
            return ""
        self.tally.add(entry)
        record, values = entry.record, entry.scores.values()
        counts = [shares.claims for shares in entry.scores.shares().values()]
        head: list[Any] = [cell(record.name)[0], cell(record.label.label)[0], counts[0] if counts else ""]
        self._table.writerow([*head, *map(_number, (values.get(name) for name in self._names))])
        line = {"name": record.name, "label": record.label.label, "text": entry.fine_text, **as_values(entry.scores)}
        self._lines.write(clean(json.dumps(line, ensure_ascii=False)) + "\n")
        return ""


def _number(value: float | None) -> Any:
    return "" if value is None else round(value, _DIGITS)

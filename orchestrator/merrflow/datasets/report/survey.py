"""What a report needs of a whole run before its first line: counts, who wrote what, and which clips get a card.

One pass over the ledger; of each record only a line is kept, so that memory does not grow with the curves.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from merrflow.core.labels import Verdict
from merrflow.core.paths import path_text
from merrflow.datasets.agreements import Agreed, Agreements
from merrflow.datasets.costs import Prices, Spent, spent
from merrflow.datasets.entries import Entry, entries
from merrflow.datasets.export import writer
from merrflow.datasets.scoring.files import Figure, Tally
from merrflow.store import ClipRow, Ledger

MAX_CARDS = 300  # above this a browser becomes slow and the file large
MAX_ROWS = 5000  # in one table
UNFINISHED = "unfinished"
OUTCOMES: Mapping[str, str] = {  # in order of showing
    "done": "coarse and fine-grained text",
    "no_ground": "no clue speaks for the label: coarse text only",
    "rejected": "no answer of the model passed the checks: coarse text only",
    "truncated": "the model's answer was cut: coarse text only",
    "refused": "the model declined: coarse text only",
    "skipped": "left out by a rule, with its reason",
    "failed": "an error ended it",
    UNFINISHED: "the run stopped before it",
}


@dataclass(frozen=True)
class Row:
    """A record in one line."""

    name: str
    outcome: str
    label: str
    action_units: tuple[str, ...]
    subtitle: str
    text: str  # fine-grained if there is one, else coarse


@dataclass(frozen=True)
class Dropped:
    """A clip without a record."""

    name: str
    path: str
    outcome: str
    reason: str
    again: bool  # the next run tries it again


@dataclass(frozen=True)
class Writer:
    """One engine that wrote clues of one kind, and for how many records."""

    clue: str
    engine: str
    model: str
    revision: str
    note: str
    records: int


@dataclass(frozen=True)
class Survey:
    """A run at a glance."""

    clips: int
    records: int
    fine: int
    dropped_count: int
    outcomes: Mapping[str, int]  # only those that occur, in order of OUTCOMES
    standings: Mapping[str, int]  # verdict on the label -> records; only those that occur
    labels: Mapping[str, int]  # most frequent first
    writers: tuple[Writer, ...]
    seconds: Mapping[str, float]  # stage -> mean computing time over the records that have it
    carded: tuple[tuple[str, str], ...]  # name and fingerprint of the records that get a card, by name
    rows: tuple[Row, ...]  # the other records, by name; at most MAX_ROWS
    dropped: tuple[Dropped, ...]  # by name; at most MAX_ROWS
    agreements: tuple[Agreed, ...]  # of second engines with the main ones; empty if there are none
    endpoints: tuple[Spent, ...]  # what their answers took; empty if no engine asks one
    scored: int  # records whose texts have scores
    scores: tuple[Figure, ...]  # over these


class Surveyor(writer.Writer):
    """Gathers a survey while the records pass by, for other files too."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._rows: list[Row] = []
        self._recorded: set[str] = set()
        self._by_label: dict[str, list[str]] = defaultdict(list)
        self._writers: Counter[tuple[str, str, str, str]] = Counter()
        self._notes: dict[tuple[str, str, str, str], str] = {}
        self._spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._fine = 0
        self._standings: Counter[str] = Counter()
        self._scores = Tally()
        self._agreements = Agreements()

    def add(self, entry: Entry) -> str:
        record = entry.record
        self._fine += entry.is_fine
        self._scores.add(entry)
        self._by_label[record.label.label].append(record.name)
        self._recorded.add(record.name)
        self._agreements.add(record)
        if record.label.standing:
            self._standings[str(record.label.standing.verdict)] += 1
        if len(self._rows) < MAX_CARDS + MAX_ROWS:  # no later one can come into the table
            self._rows.append(_row(entry))
        for clue, origin in record.origins.items():
            writer = (clue, origin.engine, origin.model, origin.revision)
            self._writers[writer] += 1
            if self._notes.setdefault(writer, origin.note) != origin.note:
                self._notes[writer] = ""  # of each clip alone, such as the file its Action Units were read from
        for stage, seconds in record.seconds.items():
            caller = record.origins.get(stage)
            # a call's wall time is mostly its wait behind other clips
            self._spent[stage][0] += (caller and caller.model_seconds) or seconds
            self._spent[stage][1] += 1
        return ""

    def survey(self, prices: Prices | None = None) -> Survey:
        """Of all records that were added."""
        clips = self._ledger.clips()
        chosen = draw(self._by_label, MAX_CARDS)
        dropped = [clip for clip in clips if clip.clip.name not in self._recorded]
        outcomes = Counter(str(clip.outcome or UNFINISHED) for clip in clips)
        labels = sorted(((k, len(v)) for k, v in self._by_label.items()), key=lambda item: (-item[1], item[0]))
        return Survey(
            clips=len(clips),
            records=len(self._recorded),
            fine=self._fine,
            dropped_count=len(dropped),
            outcomes={name: outcomes[name] for name in OUTCOMES if outcomes[name]},
            standings={name: count for name in Verdict if (count := self._standings[name])},
            labels=dict(labels),
            writers=tuple(Writer(*key, self._notes[key], count) for key, count in self._writers.items()),
            seconds={stage: total / count for stage, (total, count) in self._spent.items()},
            carded=tuple((row.clip.name, row.fingerprint or "") for row in clips if row.clip.name in chosen),
            rows=tuple([row for row in self._rows if row.name not in chosen][:MAX_ROWS]),
            dropped=tuple(_dropped(clip) for clip in dropped[:MAX_ROWS]),
            agreements=self._agreements.rows(),
            endpoints=spent(self._ledger, prices),
            scored=self._scores.texts,
            scores=self._scores.figures(),
        )


def survey(ledger: Ledger) -> Survey:
    """Reads the whole ledger once. Blocking."""
    surveyor = Surveyor(ledger)
    for entry in entries(ledger):
        surveyor.add(entry)
    return surveyor.survey()


def draw(by_label: Mapping[str, list[str]], count: int) -> set[str]:
    """At most `count` names, as evenly over the labels as they allow, so that rare ones are seen.

    Drawn by the hash of the name: the same in every run, and not the first episode only.
    """
    left = {label: sorted(names, key=_hash) for label, names in sorted(by_label.items())}
    chosen: set[str] = set()
    while left and len(chosen) < count:
        share = max(1, (count - len(chosen)) // len(left))
        for label in list(left):
            room = min(share, count - len(chosen))
            chosen.update(left[label][:room])
            left[label] = left[label][room:]
            if not left[label]:
                del left[label]
    return chosen


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _row(entry: Entry) -> Row:
    record = entry.record
    return Row(
        name=record.name,
        outcome=str(entry.outcome),
        label=record.label.label,
        action_units=record.peak.action_units,
        subtitle=record.subtitle.text or "",
        text=record.coarse if entry.fine_text is None else entry.fine_text,
    )


def _dropped(row: ClipRow) -> Dropped:
    return Dropped(
        name=row.clip.name,
        path=path_text(row.clip.path),
        outcome=str(row.outcome or UNFINISHED),
        reason=row.reason or "the run was stopped before this clip was finished",
        again=row.retry or row.outcome is None,
    )

"""Reads a ledger's records once, as curation needs them, with a digest that shows a later change."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from merrflow.datasets.curation.candidate import Candidate, candidate
from merrflow.datasets.curation.sharpness import face_sharpness
from merrflow.datasets.entries import RECORDS, entry_of, parsed
from merrflow.datasets.pictures import Pictures
from merrflow.datasets.review.verdicts import decisions
from merrflow.datasets.scoring.scores import Kept
from merrflow.store import Ledger, StageRow


@dataclass(frozen=True)
class Read:
    """All that was read."""

    clips: tuple[Candidate, ...]  # by name
    digest: str  # 64 hex digits of every record, its outcome, its scores, and what people said of it


def read_records(ledger: Ledger, pictures: Pictures | None = None) -> Read:
    """Each record is parsed once, and only what curation needs stays in memory.

    pictures: those of the peak frames, if a filter needs to know how sharp they are; None leaves that unknown.
    """
    digest = hashlib.sha256()
    clips = []
    people, kept = decisions(ledger), Kept(ledger)
    for name, row, record in parsed(ledger, RECORDS):
        _add(digest, name, row)
        sharpness = face_sharpness(pictures.of(record), record.picture_box) if pictures else None
        clips.append(candidate(entry_of(record, row, people.get(name), kept), sharpness))
    _add_later(digest, ledger)
    return Read(tuple(sorted(clips, key=lambda clip: clip.name)), digest.hexdigest())


def records_digest(ledger: Ledger) -> str:
    """The same digest without parsing: a few seconds for 100,000 records."""
    digest = hashlib.sha256()
    for name, row in ledger.records():
        _add(digest, name, row)
    _add_later(digest, ledger)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, name: str, row: StageRow) -> None:
    inner = hashlib.sha256(row.payload).hexdigest()
    digest.update(f"{name}\0{row.outcome}\0{inner}\n".encode())


def _add_later(digest: hashlib._Hash, ledger: Ledger) -> None:
    """Verdicts and scores; nothing without them, so that a curation of earlier versions is not stale for that."""
    for clip, decision in sorted(decisions(ledger).items()):
        digest.update(f"{clip}\0{decision}\n".encode())
    digest.update(ledger.scores_state().encode())

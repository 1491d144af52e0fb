"""What people said of clips: rows that are only added, and committed to the disk before the call returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from merrflow.store.tables import CLIPS, ROW, STAGES, VERDICTS
from merrflow.store.transactions import Transactions

UNDO = "undo"


class ClipGone(Exception):
    """The dataset has no such clip with these bytes any more."""


class NotYours(Exception):
    """There is no such row of this reviewer that could be taken back."""


@dataclass(frozen=True)
class VerdictRow:
    """One thing that one person said of one clip."""

    clip: str
    sha256: str  # of the bytes that were looked at
    reviewer: str
    kind: str
    said: str  # JSON
    key: str  # made by who says it, unique
    audit: str = ""  # the audit that it is part of; "" for a review
    undoes: int | None = None  # the row that this one takes back
    id: int = 0  # ascending in the order in which they were committed; 0 while it is not in the ledger


class VerdictQueries(Transactions):
    """Adds and reads verdicts. Any number of processes at once."""

    def say(self, row: VerdictRow) -> VerdictRow:
        """Adds a verdict, once however often it is sent, and returns it with its id.

        Survives a kill and a power failure from then on. Raises `ClipGone`, and `NotYours` for an undo of what is not
        there, is another reviewer's, or was taken back already.
        """

        def add(db: sa.Connection) -> VerdictRow:
            if self.location.is_shared:  # so that ids become visible in their order, and `verdicts(after)` misses none
                db.execute(sa.text(f"LOCK TABLE {VERDICTS.name} IN EXCLUSIVE MODE"))
            else:
                db.exec_driver_sql("PRAGMA synchronous=FULL")  # of this connection; the run's own use NORMAL
                db.exec_driver_sql("BEGIN IMMEDIATE")
            if before := db.execute(sa.select(VERDICTS).where(VERDICTS.c.key == row.key)).first():
                return _verdict(before)
            known = sa.select(CLIPS.c.name).where(CLIPS.c.name == row.clip, CLIPS.c.sha256 == row.sha256)
            if db.scalar(known) is None:
                raise ClipGone(row.clip)
            if row.undoes is not None:
                self._check_undo(db, row)
            values = {name: getattr(row, name) for name in asdict(row) if name != "id"}
            db.execute(sa.insert(VERDICTS).values(**values, said_at=datetime.now(UTC)))
            return _verdict(db.execute(sa.select(VERDICTS).where(VERDICTS.c.key == row.key)).one())

        return self._do(add)

    def verdicts(self, after: int = 0, clip: str | None = None) -> list[VerdictRow]:
        """All verdicts with an id above `after`, in their order. clip: of this one alone."""
        query = sa.select(VERDICTS).where(VERDICTS.c.id > after).order_by(VERDICTS.c.id)
        return [_verdict(row) for row in self._rows(query if clip is None else query.where(VERDICTS.c.clip == clip))]

    def newest(self, clip: str, stage: str, wanted: Callable[[bytes], bool] = lambda payload: True) -> bytes | None:
        """The newest result of a stage for a clip, as JSON; None if there is none. wanted: whether it is one that is
        asked for, because answers of several engines may be kept."""
        query = (
            sa.select(*ROW)
            .where(STAGES.c.clip == clip, STAGES.c.stage == stage, sa.func.length(STAGES.c.payload) > 0)
            .order_by(STAGES.c.finished_at.desc())
        )
        found = (self._payload(row) for row in self._rows(query))
        return next((payload for payload in found if payload is not None and wanted(payload)), None)

    @staticmethod
    def _check_undo(db: sa.Connection, row: VerdictRow) -> None:
        undone = db.execute(sa.select(VERDICTS).where(VERDICTS.c.id == row.undoes)).first()
        own = undone is not None and (undone.clip, undone.reviewer, undone.audit) == (row.clip, row.reviewer, row.audit)
        again = db.scalar(sa.select(VERDICTS.c.id).where(VERDICTS.c.undoes == row.undoes))
        if not own or undone is None or undone.kind == UNDO or again is not None:
            raise NotYours(row.clip)


def live(rows: Sequence[VerdictRow]) -> list[VerdictRow]:
    """Of each reviewer, clip and audit the last row that was not taken back, in order."""
    undone = {row.undoes for row in rows}
    last: dict[tuple[str, str, str], VerdictRow] = {}
    for row in rows:
        if row.kind != UNDO and row.id not in undone:
            key = (row.audit, row.clip, row.reviewer)
            last.pop(key, None)
            last[key] = row
    return list(last.values())


def _verdict(row: sa.Row[tuple[object, ...]]) -> VerdictRow:
    return VerdictRow(
        clip=row.clip,
        sha256=row.sha256,
        reviewer=row.reviewer,
        kind=row.kind,
        said=row.said,
        key=row.key,
        audit=row.audit,
        undoes=row.undoes,
        id=row.id,
    )

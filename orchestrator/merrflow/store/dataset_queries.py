"""What is read of a ledger to make a dataset of it: how the clips came out, their records, their stages' results."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import sqlalchemy as sa

from merrflow.core.heap import growing_heap
from merrflow.core.measurements import Clip
from merrflow.core.paths import text_path
from merrflow.core.records import Outcome
from merrflow.store.rows import ClipResults, ClipRow, ClipStatus, StageRow
from merrflow.store.tables import CLIPS, RECORD, ROW, SCORES, STAGES, VERDICTS
from merrflow.store.transactions import Transactions, unpacked

_PAGE = 25  # clips whose stages are read at once; a clip's Action Units take a megabyte
_RECORDS = 200  # of them the same
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}  # ten times as fast as Outcome(...)


class DatasetQueries(Transactions):
    """All clips of a dataset, read only."""

    @growing_heap()
    def statuses(self) -> list[ClipStatus]:
        """How every clip of the dataset came out, by name."""
        query = sa.select(CLIPS.c.name, CLIPS.c.outcome, CLIPS.c.reason, CLIPS.c.retry).order_by(CLIPS.c.name)
        return [
            ClipStatus(name, _OUTCOMES.get(outcome), reason or "", retry)
            for name, outcome, reason, retry in map(tuple, self._rows(query))
        ]

    def state(self) -> str:
        """32 hex digits that change with every clip, outcome, record, verdict and score: while they are the same, so is
        everything that is made of the ledger."""
        finished_at = sa.type_coerce(STAGES.c.finished_at, sa.String)  # as it is stored: it is only compared
        query = (
            sa.select(
                *(CLIPS.c[name] for name in ("name", "path", "sentence", "label", "fingerprint", "outcome", "reason")),
                CLIPS.c.retry,
                finished_at,
            )
            .outerjoin(
                STAGES,
                (STAGES.c.clip == CLIPS.c.name)
                & (STAGES.c.stage == RECORD)
                & (STAGES.c.fingerprint == CLIPS.c.fingerprint),
            )
            .order_by(CLIPS.c.name)
            .execution_options(yield_per=1000)
        )

        scored = [SCORES.c[name] for name in ("clip", "judge", "text", "version")]

        def digest(db: sa.Connection) -> str:
            self._forget_pages(db)
            found = hashlib.sha256()
            for row in db.execute(query):
                found.update(repr(tuple(row)).encode(errors="surrogatepass"))
            said = db.scalar(sa.select(sa.func.max(VERDICTS.c.id)).where(VERDICTS.c.audit == ""))
            if said:  # else the digest is that of versions without verdicts
                found.update(f"verdicts to {said}".encode())
            for row in db.execute(sa.select(*scored).order_by(*scored)):
                found.update(repr(tuple(row)).encode(errors="surrogatepass"))
            return found.hexdigest()[:32]

        return self._do(digest)

    def clips(self) -> list[ClipRow]:
        """Every clip of the dataset, by name."""
        return [
            ClipRow(
                Clip(row.name, text_path(row.path), row.sha256, row.sentence, row.label),
                _OUTCOMES.get(row.outcome),  # None for damage, too: the next run does the clip again
                row.reason or "",
                row.retry,
                row.fingerprint,
            )
            for row in self._rows(sa.select(CLIPS).order_by(CLIPS.c.name))
        ]

    def records(self) -> Iterator[tuple[str, StageRow]]:
        """Name and record of every finished clip that has one, by name; read in pieces, so of any number. Those that
        cannot be read are left out, with a warning."""
        query = (
            sa.select(*ROW)
            .join(
                CLIPS,
                (CLIPS.c.name == STAGES.c.clip) & (CLIPS.c.fingerprint == STAGES.c.fingerprint),
            )
            .where(STAGES.c.stage == RECORD)
            .order_by(STAGES.c.clip)
            .limit(_RECORDS)
        )
        last, lost = "", 0
        while (rows := self._rows(query.where(STAGES.c.clip > last))) and rows[-1].clip > last:  # else it is damaged
            for row in rows:
                found = self._read(row)
                lost += found is None
                if found and found.payload:
                    yield row.clip, found
            last = rows[-1].clip
        if lost:
            self._warn_once("records", f"records that cannot be read and are left out: {lost}")

    def payloads(self, stages: Sequence[str]) -> Iterator[bytes]:
        """The JSON of every result of these stages, read in pieces; once for clips of the same bytes."""
        bytes_and_name = sa.tuple_(CLIPS.c.sha256, CLIPS.c.name)
        query = sa.select(CLIPS.c.sha256, CLIPS.c.name).order_by(CLIPS.c.sha256, CLIPS.c.name).limit(_RECORDS)
        last, seen = ("", ""), set[tuple[str, str]]()
        while clips := self._rows(query.where(bytes_and_name > sa.tuple_(*last))):
            of_these = (
                sa.select(*ROW)
                .where(STAGES.c.clip.in_([clip.name for clip in clips]), STAGES.c.stage.in_(stages))
                .where(STAGES.c.outcome != Outcome.FAILED.value)
            )
            by_clip = defaultdict(list)
            for row in self._rows(of_these):
                by_clip[row.clip].append(row)
            for clip in clips:
                if clip.sha256 != last[0]:
                    seen = set()
                last = clip.sha256, clip.name
                for row in by_clip[clip.name]:
                    work = row.stage, row.fingerprint
                    if work not in seen and (payload := self._payload(row)):
                        seen.add(work)
                        yield payload

    def record(self, name: str) -> StageRow | None:
        """The record of one clip; None if it has none, or it cannot be read."""
        query = (
            sa.select(*ROW)
            .join(CLIPS, (CLIPS.c.name == STAGES.c.clip) & (CLIPS.c.fingerprint == STAGES.c.fingerprint))
            .where(STAGES.c.stage == RECORD, CLIPS.c.name == name)
        )
        found = [self._read(row) for row in self._rows(query)]
        return found[0] if found and found[0] and found[0].payload else None

    def place(self, name: str) -> Path | None:
        """Where a clip's file is; None if there is no such clip."""
        rows = self._rows(sa.select(CLIPS.c.path).where(CLIPS.c.name == name))
        return text_path(rows[0].path) if rows else None

    def results(self, stages: Sequence[str]) -> Iterator[ClipResults]:
        """Every clip with an outcome, by name, with its record and the newest results of these stages; read in
        pieces, so of any number."""
        query = sa.select(CLIPS).where(CLIPS.c.outcome.in_(_OUTCOMES)).order_by(CLIPS.c.name).limit(_PAGE)
        last = ""
        while (clips := self._rows(query.where(CLIPS.c.name > last))) and clips[-1].name > last:  # else it is damaged
            of_these = (
                sa.select(*ROW)
                .where(STAGES.c.clip.in_([row.name for row in clips]))
                .where(STAGES.c.stage.in_((*stages, RECORD)), sa.func.length(STAGES.c.payload) > 0)
                .where(sa.or_(STAGES.c.stage == RECORD, STAGES.c.outcome == Outcome.DONE.value))
                .order_by(STAGES.c.finished_at, STAGES.c.fingerprint)
            )
            found = self._rows(of_these)
            own = {row.name: row.fingerprint for row in clips}
            newest = {
                (row.clip, row.stage): row.payload
                for row in found
                if (row.stage != RECORD or row.fingerprint == own[row.clip]) and self._payload(row) is not None
            }
            for row in clips:
                record = newest.get((row.name, RECORD))
                yield ClipResults(
                    row.name,
                    text_path(row.path),
                    Outcome(row.outcome),
                    row.reason or "",
                    row.sentence,
                    unpacked(record) if record else None,
                    {name: unpacked(newest[row.name, name]) for name in stages if (row.name, name) in newest},
                )
            last = clips[-1].name

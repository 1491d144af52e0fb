"""What a run asks of the ledger and writes into it: which clips there are, what is done, and what was found."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from isal import isal_zlib

from merrflow.core.heap import growing_heap
from merrflow.core.inputs import Found
from merrflow.core.measurements import Clip, FileState
from merrflow.core.paths import path_text, text_path
from merrflow.core.records import Outcome
from merrflow.store.moved_clips import described_moves, follow, replaced
from merrflow.store.registration import CHANGING, Registered, registered
from merrflow.store.rows import StageRow, StageWrite
from merrflow.store.tables import BY_BYTES, CLIPS, RECORD, ROW, ROWS_VERSION, STAGES
from merrflow.store.transactions import PackedRow, Transactions, undone

Item = TypeVar("Item")
_FEW = 1000  # clips, such as a shard's, that are asked for by name; of more, one question for all takes less time
log = logging.getLogger(__name__)
LEVEL = 1  # of ISA-L's deflate, which any zlib reads: a quarter of the time of zlib's own level 1, and fewer bytes


class RunQueries(Transactions):
    """The clips of a run and their stages, read and written."""

    def names(self) -> dict[str, Path]:
        """Every clip's name and path."""
        return {name: text_path(path) for name, path in self.path_texts().items()}

    def path_texts(self) -> dict[str, str]:
        """The same, with each path as `path_text` writes it: a third of the time for a million clips."""
        return {name: path for name, path in map(tuple, self._rows(sa.select(CLIPS.c.name, CLIPS.c.path)))}

    def is_empty(self) -> bool:
        """Whether no clip was ever registered."""
        return not self._rows(sa.select(CLIPS.c.name).limit(1))

    @growing_heap()
    def registered(self) -> dict[str, Registered]:
        """Every clip of the dataset, by its path as `path_text` writes it."""
        query = sa.select(*(CLIPS.c[name] for name in Registered._fields))
        return {row.path: row for row in map(Registered._make, self._rows(query))}

    def follow_moved(self, found: Sequence[Found]) -> dict[str, Registered]:
        """A clip whose file was moved or renamed keeps its name and its work under the new path, and a warning says so;
        see `moved_clips`. Returns `registered` as it is then."""
        known = self.registered()
        changes = follow(known, found)
        if not changes:
            return known

        def write(db: sa.Connection) -> None:
            row = sa.update(CLIPS).where(CLIPS.c.name == sa.bindparam("clip"))
            # First out of the way: two clips cannot have one path, not even while they swap theirs.
            away = [{"clip": one.name, "away": replaced(one.name, one.before)} for one in changes]
            db.execute(row.values(path=sa.bindparam("away")), away)
            new: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in ("path", "size", "mtime_ns")}
            values = [{f"new_{name}": getattr(one, name) for name in new} | {"clip": one.name} for one in changes]
            db.execute(row.values(new), values)

        self._do(write)
        if moved := [change for change in changes if change.moved]:
            log.warning("%s", described_moves(moved))
        return self.registered()

    def register(
        self, found: Iterable[Found], names: dict[Path, str], known: Mapping[str, Registered] | None = None
    ) -> list[Clip]:
        """Enters the clips, or updates them, and returns them with the hash of their bytes.

        A file whose size and time are as they were is not read again. New bytes under an old path are new
        work, because every fingerprint holds the hash. known: what `registered` says (None: asks).
        """
        self._do(lambda db: BY_BYTES.create(db, checkfirst=True))  # which ledgers of 0.1.0 lack
        known = self.registered() if known is None else known
        clips: list[Clip] = []
        for batch in batched(found, 200):  # hashing takes long; what is hashed is kept if the run is stopped
            rows = [(clip, *registered(clip, names[clip.path], known.get(path_text(clip.path)))) for clip in batch]
            changed = [row._asdict() | {"retry": False} for _, row, _ in rows if row != known.get(row.path)]
            if changed:  # an upsert of rows that are there already would write them all again
                self._do(partial(self._put_clips, rows=changed))
            clips += [
                Clip(row.name, clip.path, row.sha256, row.sentence, row.label, state) for clip, row, state in rows
            ]
        return clips

    def described(self) -> set[str]:
        """Names of the clips that have a record; one whose reasoning failed has one too."""
        query = (
            sa.select(CLIPS.c.name)
            .join(STAGES, (STAGES.c.clip == CLIPS.c.name) & (STAGES.c.fingerprint == CLIPS.c.fingerprint))
            .where(STAGES.c.stage == RECORD, sa.func.length(STAGES.c.payload) > 0)
            .where(STAGES.c.schema_version <= ROWS_VERSION)
        )
        return {row.name for row in self._rows(query)}

    @growing_heap()
    def finished(self, names: Collection[str] | None = None) -> dict[str, str]:
        """Name and fingerprint of every clip that has an outcome and is not worth another try. A clip without the row
        that is written with its outcome does not count: a damaged ledger may have lost it.

        names: the clips to look at (None: all). A shard asks for its own: the others may be a million.
        """
        known = [outcome.value for outcome in Outcome]  # another one is damage
        query = (
            sa.select(CLIPS.c.name, CLIPS.c.fingerprint)
            .join(STAGES, (STAGES.c.clip == CLIPS.c.name) & (STAGES.c.fingerprint == CLIPS.c.fingerprint))
            .where(STAGES.c.stage == RECORD, CLIPS.c.outcome.in_(known), ~CLIPS.c.retry)
        )
        if names is not None and len(names) <= _FEW:
            query = query.where(CLIPS.c.name.in_(names))
        found = dict(map(tuple, self._rows(query)))
        return found if names is None else {name: found[name] for name in names if name in found}

    def named(self, names: Iterable[str]) -> list[Clip]:
        """These clips, as they were registered, by name."""
        clips = []
        for batch in batched(names, 500):
            query = sa.select(CLIPS).where(CLIPS.c.name.in_(batch))
            rows = self._rows(query)
            clips += [
                Clip(
                    row.name,
                    text_path(row.path),
                    row.sha256,
                    row.sentence,
                    row.label,
                    FileState(row.size, row.mtime_ns) if row.sha256 else None,
                )
                for row in rows
            ]
        return sorted(clips, key=lambda clip: clip.name)

    def outcomes(self) -> int:
        """How many outcomes were ever written; each makes it one more, whatever the clock says."""
        query = sa.select(sa.func.sum(STAGES.c.attempts)).where(STAGES.c.stage == RECORD)
        return self._do(lambda db: db.scalar(query)) or 0

    def stages(self, clip: Clip) -> dict[tuple[str, str], PackedRow]:
        """All rows of a clip, by stage and fingerprint; `unpack` reads those that are wanted.

        What the clip lacks may be another's, who has the same bytes (the row says whose): it is not measured again.
        """
        chosen = {"clip": clip.name, "sha256": clip.sha256}

        def read(db: sa.Connection) -> list[PackedRow]:
            same = db.execute(_OF_THE_SAME_BYTES, chosen).all() if clip.sha256 else ()
            return [*same, *db.execute(_OF_THE_CLIP, chosen)]

        return {(row.stage, row.fingerprint): row for row in self._do(read)}

    def unpack(self, row: PackedRow) -> StageRow | None:
        """A row of `stages`; None if it is damaged, and then it is gone, or of a newer merrflow."""
        return self._read(row)

    def stage(self, clip: str, stage: str, fingerprint: str) -> StageRow | None:
        """One result of a clip, if there is one."""
        query = sa.select(*ROW).where(
            STAGES.c.clip == clip, STAGES.c.stage == stage, STAGES.c.fingerprint == fingerprint
        )
        rows = self._rows(query)
        return self.unpack(rows[0]) if rows else None

    def save_stage(self, clip: str, stage: str, fingerprint: str, row: StageRow) -> None:
        """Writes a finished stage."""
        self.write([StageWrite(clip, stage, fingerprint, row)])

    def finish_clip(self, clip: str, fingerprint: str, row: StageRow) -> None:
        """Writes a clip's outcome and, as `row.payload`, its record; both or neither."""
        self.write([StageWrite(clip, RECORD, fingerprint, row)])

    def write(self, writes: Sequence[StageWrite]) -> None:
        """Writes all of them, in order, or none. One of RECORD is its clip's outcome as well."""
        values = [_values(one) for one in writes]
        ends = [
            {"of": row["clip"]} | {name: row[name] for name in ("fingerprint", "outcome", "reason", "retry")}
            for row in values
            if row["stage"] == RECORD
        ]

        def put(db: sa.Connection) -> None:
            _set_finish_times(db, values, [(one.clip, one.stage) for one in writes if not one.is_first])
            db.execute(self._put_stages, values)
            if ends:
                db.execute(_END, ends)

        self._do(put)

    def undo(self, clip: str) -> None:
        """Takes a clip's outcome back, as its record cannot be used: the next run makes it again."""
        self._execute(undone.where(CLIPS.c.name == clip))

    def _put_clips(self, db: sa.Connection, rows: list[dict[str, Any]]) -> None:
        self._upsert(db, CLIPS, rows, ("name",), CHANGING)

    @cached_property
    def _put_stages(self) -> sa.Insert:
        key = ("clip", "stage", "fingerprint")
        changing = tuple(column.name for column in STAGES.c if column.name not in key)
        return self._upsertion(STAGES, key, changing, STAGES.c.schema_version <= ROWS_VERSION)


def _set_finish_times(db: sa.Connection, rows: list[dict[str, Any]], known: Sequence[tuple[str, str]]) -> None:
    """Now, but never before what is there: the newest result counts, and clocks are set back. known: clips and stages
    of which the ledger may hold results."""
    newest = _newest(db, known) if known else {}
    now = datetime.now(UTC)
    for row in rows:
        before = newest.get((row["clip"], row["stage"]))
        row["finished_at"] = max(now, before + timedelta(microseconds=1)) if before else now
        newest[row["clip"], row["stage"]] = row["finished_at"]


def _newest(db: sa.Connection, of: Sequence[tuple[str, str]]) -> dict[tuple[str, str], datetime]:
    """When the newest result of these clips and stages was written, where there is one."""
    try:
        found = db.execute(_NEWEST, {"of": of}).all()
    except ValueError:  # a damaged row
        return {} if len(of) == 1 else {key: time for one in of for key, time in _newest(db, [one]).items()}
    return {(clip, stage): time.replace(tzinfo=time.tzinfo or UTC) for clip, stage, time in found if time}


def _values(write: StageWrite) -> dict[str, Any]:
    row = write.row
    return {
        "clip": write.clip,
        "stage": write.stage,
        "fingerprint": write.fingerprint,
        "outcome": row.outcome.value,
        "reason": _text(row.reason),
        "retry": row.retry,
        "attempts": row.attempts,
        "payload": isal_zlib.compress(row.payload, LEVEL) if row.payload else b"",
        "seconds": row.seconds,
        "schema_version": ROWS_VERSION,
    }


def _of_the_same_bytes() -> sa.Select[Any]:
    """Of each result that other clips of the same bytes have, the first such clip's."""
    result = (STAGES.c.stage, STAGES.c.fingerprint)
    first = (
        sa.select(*result, sa.func.min(STAGES.c.clip).label("clip"))
        .join(CLIPS, CLIPS.c.name == STAGES.c.clip)
        .where(CLIPS.c.sha256 == sa.bindparam("sha256"), CLIPS.c.name != sa.bindparam("clip"))
        .where(STAGES.c.stage != RECORD)
        .group_by(*result)
        .subquery()
    )
    same = sa.and_(*(STAGES.c[name] == first.c[name] for name in ("clip", "stage", "fingerprint")))
    return sa.select(*ROW).join(first, same)


# Statements of each clip and stage, made once: to build and compile one takes longer than SQLite does.
_OF_THE_CLIP = sa.select(*ROW).where(STAGES.c.clip == sa.bindparam("clip"))
_OF_THE_SAME_BYTES = _of_the_same_bytes()
_NEWEST = (
    sa.select(STAGES.c.clip, STAGES.c.stage, sa.func.max(STAGES.c.finished_at))
    .where(sa.tuple_(STAGES.c.clip, STAGES.c.stage).in_(sa.bindparam("of", expanding=True)))
    .group_by(STAGES.c.clip, STAGES.c.stage)
)
_END = (
    sa.update(CLIPS)
    .where(CLIPS.c.name == sa.bindparam("of"))
    .values({name: sa.bindparam(name) for name in ("fingerprint", "outcome", "reason", "retry")})
)


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of up to `size` items, in order (itertools.batched of Python 3.12)."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _text(value: str) -> str:
    return value.replace("\0", "")  # which PostgreSQL cannot store

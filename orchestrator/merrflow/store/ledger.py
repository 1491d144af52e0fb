"""The ledger's queries, each in a transaction that waits for its database."""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from merrflow.core.errors import InputError
from merrflow.core.inputs import Found
from merrflow.core.paths import path_text, text_path
from merrflow.core.records import Clip, Outcome
from merrflow.core.settings import load_settings
from merrflow.store.database import Place, connect, place_of
from merrflow.store.database_retries import LedgerGone, patiently
from merrflow.store.registration import CHANGING, REGISTERED, differs, hash_of, row_of
from merrflow.store.rows import ClipRow, StageRow, Standing, Stored
from merrflow.store.tables import ABOUT, CLIPS, META, RECORD, STAGES, VERSION

Value = TypeVar("Value")
PackedRow: TypeAlias = sa.Row[Any]  # of the table `stages`; its payload is compressed
log = logging.getLogger(__name__)
PATIENCE_SECONDS = 180.0  # that a database may be away or locked before the run stops
_PAGE = 25  # clips whose stages are read at once; a clip's Action Units take a megabyte
_RECORDS = 200  # of them the same
_OUTCOMES = {None: None} | {outcome.value: outcome for outcome in Outcome}  # ten times as fast as Outcome(...)


class Ledger:
    """Blocking; call it off the event loop. Safe to use from several threads.

    While its database is away or locked, what is asked of it waits. Raises `LedgerGone` where that takes longer than
    the patience, and at once where waiting is of no use: a full disk, a damaged file, another run that has taken over.
    """

    def __init__(self, place: Place, patience: float | None = None) -> None:
        """patience: seconds (None: `PATIENCE_SECONDS`). Raises `InputError` for a ledger of a newer version."""
        self.place = place
        self._patience = PATIENCE_SECONDS if patience is None else patience
        self._engine = connect(place)
        if place.schema:
            with self._engine.begin() as db:
                db.execute(sa.schema.CreateSchema(place.schema, if_not_exists=True))
        META.create_all(self._engine)
        self._check_version()

    def _check_version(self) -> None:
        with self._engine.connect() as db:
            version = db.scalar(sa.select(sa.func.max(ABOUT.c.version)))
        if version is None:
            with self._engine.begin() as db:
                self._upsert(db, ABOUT, [{"version": VERSION}], ("version",), ("version",))
        elif version > VERSION:
            raise InputError(
                f"{self.where}: written by a newer merrflow (ledger version {version}; this one knows {VERSION}): "
                "update merrflow, or choose another folder"
            )

    @property
    def where(self) -> str:
        """The file, or the schema in its database, without the password."""
        if not self.place.is_shared:
            return self.place.url.database or ""
        return f"{self.place.url.render_as_string()}, schema {self.place.schema}"

    def _do(self, work: Callable[[sa.Connection], Value]) -> Value:
        """One transaction, begun again while the database is away or locked."""
        return patiently(lambda: self._once(work), self._patience, self.place, self.where)

    def _rows(self, query: sa.Select) -> Sequence[sa.Row]:
        return self._do(lambda db: db.execute(query).all())

    def _once(self, work: Callable[[sa.Connection], Value]) -> Value:
        with self._engine.begin() as db:
            return work(db)

    @classmethod
    def in_folder(cls, folder: Path, url: str = "") -> Ledger:
        """The ledger of an output folder: in that folder, or in the database at `url`."""
        return cls(place_of(folder, url))

    def close(self) -> None:
        self._engine.dispose()

    def names(self) -> dict[str, Path]:
        """Every clip's name and path."""
        rows = self._rows(sa.select(CLIPS.c.name, CLIPS.c.path))
        return {row.name: text_path(row.path) for row in rows}

    def follow_moved(self, found: Iterable[Found]) -> None:
        """Where a clip's file is gone and the same bytes came elsewhere, it was moved or renamed: the clip keeps
        its name and its work under the new path."""
        query = sa.select(CLIPS.c.name, CLIPS.c.path, CLIPS.c.sha256)
        known = {row.path: row for row in self._rows(query)}
        new = [clip.path for clip in found if path_text(clip.path) not in known]
        if not new:
            return
        gone = {row.sha256: row.name for row in known.values() if row.sha256 and not text_path(row.path).exists()}
        for path in new if gone else ():
            name = gone.pop(hash_of(path), None)
            if name:
                change = sa.update(CLIPS).where(CLIPS.c.name == name).values(path=path_text(path))
                self._do(lambda db, change=change: db.execute(change))

    def register(self, found: Iterable[Found], names: dict[Path, str]) -> list[Clip]:
        """Enters the clips, or updates them, and returns them with the hash of their bytes.

        A file whose size and time are as they were is not read again. New bytes under an old path are new
        work, because every fingerprint holds the hash.
        """
        query = sa.select(*(CLIPS.c[name] for name in REGISTERED))
        known = {row.path: row for row in self._rows(query)}
        clips: list[Clip] = []
        for batch in batched(found, 200):  # hashing takes long; what is hashed is kept if the run is stopped
            rows = [row_of(clip, names[clip.path], known.get(path_text(clip.path))) for clip in batch]
            changed = [row for row in rows if differs(row, known.get(row["path"]))]
            if changed:  # an upsert of rows that are there already would write them all again
                self._do(lambda db, rows=changed: self._upsert(db, CLIPS, rows, ("name",), CHANGING))
            clips += [
                Clip(row["name"], clip.path, row["sha256"], row["sentence"], row["label"])
                for clip, row in zip(batch, rows, strict=True)
            ]
        return clips

    def described(self) -> set[str]:
        """Names of the clips that have a record; one whose reasoning failed has one too."""
        query = (
            sa.select(CLIPS.c.name)
            .join(STAGES, (STAGES.c.clip == CLIPS.c.name) & (STAGES.c.fingerprint == CLIPS.c.fingerprint))
            .where(STAGES.c.stage == RECORD, sa.func.length(STAGES.c.payload) > 0)
        )
        return {row.name for row in self._rows(query)}

    def finished(self) -> dict[str, str]:
        """Name and fingerprint of every clip that has an outcome and is not worth another try."""
        query = sa.select(CLIPS.c.name, CLIPS.c.fingerprint).where(CLIPS.c.outcome.is_not(None), ~CLIPS.c.retry)
        return {row.name: row.fingerprint for row in self._rows(query)}

    def named(self, names: Iterable[str]) -> list[Clip]:
        """These clips, as they were registered, by name."""
        clips = []
        for batch in batched(names, 500):
            query = sa.select(CLIPS).where(CLIPS.c.name.in_(batch))
            rows = self._rows(query)
            clips += [Clip(row.name, text_path(row.path), row.sha256, row.sentence, row.label) for row in rows]
        return sorted(clips, key=lambda clip: clip.name)

    def finished_since(self, moment: datetime) -> int:
        """How many clips came to an outcome since then."""
        query = sa.select(sa.func.count()).where(STAGES.c.stage == RECORD, STAGES.c.finished_at >= moment)
        return self._do(lambda db: db.scalar(query)) or 0

    def stages(self, clip: str) -> dict[tuple[str, str], PackedRow]:
        """All that is known of a clip, by stage and fingerprint; `unpack` reads what is wanted of it."""
        rows = self._rows(sa.select(STAGES).where(STAGES.c.clip == clip))
        return {(row.stage, row.fingerprint): row for row in rows}

    def unpack(self, row: PackedRow) -> StageRow | None:
        """A row of `stages`; None if it is damaged, and then it is gone."""
        if not self._is_whole(row):
            return None
        return StageRow(Outcome(row.outcome), row.reason, _unpack(row.payload), row.seconds, row.attempts, row.retry)

    def stage(self, clip: str, stage: str, fingerprint: str) -> StageRow | None:
        """What is known of this work; None if it was never done."""
        row = self.stages(clip).get((stage, fingerprint))
        return self.unpack(row) if row is not None else None

    def save_stage(self, clip: str, stage: str, fingerprint: str, row: StageRow) -> None:
        """Remembers a finished stage."""
        self._do(lambda db: self._put_stage(db, clip, stage, fingerprint, row))

    def finish_clip(self, clip: str, fingerprint: str, row: StageRow) -> None:
        """Remembers a clip's outcome and, as `row.payload`, its record; both or neither."""
        values = {
            "fingerprint": fingerprint,
            "outcome": row.outcome.value,
            "reason": _text(row.reason),
            "retry": row.retry,
        }

        def put(db: sa.Connection) -> None:
            self._put_stage(db, clip, RECORD, fingerprint, row)
            db.execute(sa.update(CLIPS).where(CLIPS.c.name == clip).values(values))

        self._do(put)

    def standings(self) -> list[Standing]:
        """How every clip of the dataset came out, by name."""
        query = sa.select(CLIPS.c.name, CLIPS.c.outcome, CLIPS.c.reason, CLIPS.c.retry).order_by(CLIPS.c.name)
        return [
            Standing(name, _OUTCOMES[outcome], reason or "", retry)
            for name, outcome, reason, retry in self._rows(query)
        ]

    def state(self) -> str:
        """32 hex digits that change with every clip, outcome and record: while they are the same, whatever is made
        of the ledger would be the same too."""
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

        def digest(db: sa.Connection) -> str:
            found = hashlib.sha256()
            for row in db.execute(query):
                found.update(repr(tuple(row)).encode(errors="surrogatepass"))
            return found.hexdigest()[:32]

        return self._do(digest)

    def clips(self) -> list[ClipRow]:
        """Every clip of the dataset, by name."""
        return [
            ClipRow(
                Clip(row.name, text_path(row.path), row.sha256, row.sentence, row.label),
                Outcome(row.outcome) if row.outcome else None,
                row.reason or "",
                row.retry,
                row.fingerprint,
            )
            for row in self._rows(sa.select(CLIPS).order_by(CLIPS.c.name))
        ]

    def records(self) -> Iterator[tuple[str, StageRow]]:
        """Name and record of every finished clip that has one, by name; read in pieces, so of any number."""
        query = (
            sa.select(STAGES)
            .join(
                CLIPS,
                (CLIPS.c.name == STAGES.c.clip) & (CLIPS.c.fingerprint == STAGES.c.fingerprint),
            )
            .where(STAGES.c.stage == RECORD)
            .order_by(STAGES.c.clip)
            .limit(_RECORDS)
        )
        last = ""
        while rows := self._rows(query.where(STAGES.c.clip > last)):
            for row in rows:
                payload = _unpack(row.payload) if self._is_whole(row) else b""
                if payload:
                    yield (
                        row.clip,
                        StageRow(Outcome(row.outcome), row.reason, payload, row.seconds, row.attempts, row.retry),
                    )
            last = rows[-1].clip

    def stored(self, stages: Sequence[str]) -> Iterator[Stored]:
        """Every clip with an outcome, by name, with its record and the newest results of these stages; read in
        pieces, so of any number."""
        query = sa.select(CLIPS).where(CLIPS.c.outcome.is_not(None)).order_by(CLIPS.c.name).limit(_PAGE)
        last = ""
        while clips := self._rows(query.where(CLIPS.c.name > last)):
            of_these = (
                sa.select(STAGES.c.clip, STAGES.c.stage, STAGES.c.fingerprint, STAGES.c.payload)
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
                if (row.stage != RECORD or row.fingerprint == own[row.clip]) and self._is_whole(row)
            }
            for row in clips:
                record = newest.get((row.name, RECORD))
                yield Stored(
                    row.name,
                    text_path(row.path),
                    Outcome(row.outcome),
                    row.reason or "",
                    row.sentence,
                    _unpack(record) if record else None,
                    {name: _unpack(newest[row.name, name]) for name in stages if (row.name, name) in newest},
                )
            last = clips[-1].name

    def _put_stage(self, db: sa.Connection, clip: str, stage: str, fingerprint: str, row: StageRow) -> None:
        values = {
            "clip": clip,
            "stage": stage,
            "fingerprint": fingerprint,
            "outcome": row.outcome.value,
            "reason": _text(row.reason),
            "retry": row.retry,
            "attempts": row.attempts,
            "payload": zlib.compress(row.payload, 6) if row.payload else b"",
            "seconds": row.seconds,
            "finished_at": self._moment(db, clip, stage),
        }
        key = ("clip", "stage", "fingerprint")
        self._upsert(db, STAGES, [values], key, tuple(name for name in values if name not in key))

    def _moment(self, db: sa.Connection, clip: str, stage: str) -> datetime:
        """Now, but never before what is there: results are told apart by their order, and clocks are set back."""
        before = db.scalar(
            sa.select(sa.func.max(STAGES.c.finished_at)).where(STAGES.c.clip == clip, STAGES.c.stage == stage)
        )
        now = datetime.now(UTC)
        return max(now, before.replace(tzinfo=before.tzinfo or UTC) + timedelta(microseconds=1)) if before else now

    def _is_whole(self, row: sa.Row) -> bool:
        """Whether a row's payload can be read. Where the file was damaged, the row goes and its clip is done again."""
        try:
            _unpack(row.payload)
            return True
        except zlib.error:
            log.warning("%s: the %s of clip %s is damaged; the next run does it again", self.where, row.stage, row.clip)

        def drop(db: sa.Connection) -> None:
            db.execute(
                sa.delete(STAGES).where(
                    STAGES.c.clip == row.clip,
                    STAGES.c.stage == row.stage,
                    STAGES.c.fingerprint == row.fingerprint,
                )
            )
            again = sa.update(CLIPS).where(CLIPS.c.name == row.clip, CLIPS.c.fingerprint == row.fingerprint)
            db.execute(again.values(outcome=None, reason=None, fingerprint=None, retry=False))

        self._do(drop)
        return False

    def _upsert(
        self,
        db: sa.Connection,
        table: sa.Table,
        rows: list[dict],
        key: tuple[str, ...],
        changing: tuple[str, ...],
    ) -> None:
        dialect = sqlite if self._engine.dialect.name == "sqlite" else postgresql
        insert = dialect.insert(table).values(rows)
        changes = {name: insert.excluded[name] for name in changing}
        db.execute(insert.on_conflict_do_update(index_elements=list(key), set_=changes))


def existing_ledger(out: Path) -> Ledger:
    """The ledger of a folder that has one, there or where MERRFLOW_LEDGER_URL says. Raises `InputError`."""
    url = load_settings().ledger_url
    try:
        ledger = Ledger(place_of(out, url, make=False))
        ledger.names()
    except (SQLAlchemyError, ImportError, LedgerGone) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        where = "MERRFLOW_LEDGER_URL" if url else out / "ledger.db"
        raise InputError(f"{where}: not a ledger that can be read ({reason})") from error
    return ledger


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of up to `size` items, in order (itertools.batched of Python 3.12)."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _text(value: str) -> str:
    return value.replace("\0", "")  # for which PostgreSQL has no place


def _unpack(payload: bytes) -> bytes:
    return zlib.decompress(payload) if payload else b""

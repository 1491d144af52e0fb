"""The ledger's database, in transactions that wait for it while it is away."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from merrflow.core.errors import InputError
from merrflow.core.records import Outcome
from merrflow.store.database import LedgerLocation, connect
from merrflow.store.database_retries import with_retries
from merrflow.store.rows import StageRow
from merrflow.store.tables import ABOUT, CLIPS, META, ROWS_VERSION, STAGES, VERSION

Value = TypeVar("Value")
PackedRow: TypeAlias = sa.Row[Any]  # of the table `stages`; its payload is compressed
# Of clips that the next run is to do again.
undone = sa.update(CLIPS).values(outcome=None, reason=None, fingerprint=None, retry=False)
log = logging.getLogger(__name__)
PATIENCE_SECONDS = 180.0  # that a database may be away or locked before the run stops


class Transactions:
    """What the queries of a ledger share. Blocking; call it off the event loop. Safe to use from several threads.

    While the database is away or locked, a query waits. Raises `LedgerGone` if that takes longer than the patience, and
    at once if waiting is of no use: a full disk, a damaged file, another run that has taken over.
    """

    def __init__(self, location: LedgerLocation, patience: float | None = None) -> None:
        """patience: seconds (None: `PATIENCE_SECONDS`). Raises `InputError` for a ledger of a newer version."""
        self.location = location
        self._patience = PATIENCE_SECONDS if patience is None else patience
        self._engine = connect(location)
        if location.schema:
            with self._engine.begin() as db:
                db.execute(sa.schema.CreateSchema(location.schema, if_not_exists=True))
        META.create_all(self._engine)
        self._check_version()
        self._add_schema_version()
        self._warned: set[str] = set()

    def close(self) -> None:
        self._engine.dispose()

    def _check_version(self) -> None:
        with self._engine.connect() as db:
            version = db.scalar(sa.select(sa.func.max(ABOUT.c.version)))
        if version is None:
            with self._engine.begin() as db:
                self._upsert(db, ABOUT, [{"version": VERSION}], ("version",), ("version",))
        elif version > VERSION:
            raise InputError(
                f"{self.location}: written by a newer merrflow (ledger version {version}; this one knows {VERSION}): "
                "update merrflow, or choose another folder"
            )

    def _add_schema_version(self) -> None:
        """Ledgers of merrflow 0.1.0 do not have this column; their rows are of the first version."""
        if self._has_schema_version():
            return
        column = sa.schema.CreateColumn(STAGES.c.schema_version).compile(dialect=self._engine.dialect)
        try:
            with self._engine.begin() as db:
                db.execute(sa.text(f"ALTER TABLE {STAGES.name} ADD COLUMN {column}"))
        except DBAPIError:
            if not self._has_schema_version():  # else another process was first
                raise

    def _has_schema_version(self) -> bool:
        columns = sa.inspect(self._engine).get_columns(STAGES.name)
        return STAGES.c.schema_version.name in {column["name"] for column in columns}

    def _do(self, work: Callable[[sa.Connection], Value]) -> Value:
        """One transaction, begun again while the database is away or locked."""

        def once() -> Value:
            with self._engine.begin() as db:
                return work(db)

        return with_retries(once, self._patience, self.location)

    def _forget_pages(self, db: sa.Connection) -> None:
        """Drops the pages that SQLite keeps in memory, so that damage to the file shows in the next query."""
        if self._engine.dialect.name == "sqlite":
            db.exec_driver_sql("PRAGMA shrink_memory")

    def _rows(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        return self._do(lambda db: db.execute(query).all())

    def _execute(self, *statements: sa.Executable) -> None:
        """All of them or none."""

        def execute(db: sa.Connection) -> None:
            for statement in statements:
                db.execute(statement)

        self._do(execute)

    def _upsert(
        self,
        db: sa.Connection,
        table: sa.Table,
        rows: list[dict[str, Any]],
        key: tuple[str, ...],
        changing: tuple[str, ...],
        where: sa.ColumnElement[bool] | None = None,
    ) -> None:
        """where: which of the rows that are there already may be changed (None: all)."""
        if rows:
            db.execute(self._upsertion(table, key, changing, where), rows)

    def _upsertion(
        self,
        table: sa.Table,
        key: tuple[str, ...],
        changing: tuple[str, ...],
        where: sa.ColumnElement[bool] | None = None,
    ) -> sa.Insert:
        """As a statement without its rows, which SQLAlchemy compiles once."""
        dialect = sqlite if self._engine.dialect.name == "sqlite" else postgresql
        insert = dialect.insert(table)
        changes = {name: insert.excluded[name] for name in changing}
        upsertion: sa.Insert = insert.on_conflict_do_update(index_elements=list(key), set_=changes, where=where)
        return upsertion

    def _read(self, row: PackedRow) -> StageRow | None:
        """What a row says; None as `_payload`."""
        payload = self._payload(row)
        if payload is None:
            return None
        try:
            numbers = float(row.seconds), int(row.attempts), bool(row.retry)
            return StageRow(Outcome(row.outcome), row.reason, payload, *numbers)
        except (TypeError, ValueError):
            self._drop(row)
            return None

    def _payload(self, row: PackedRow) -> bytes | None:
        """The JSON of a row; None if it cannot be read. If the file was damaged, the row goes and its clip is done
        again. A row of a newer merrflow stays as it is."""
        if row.schema_version > ROWS_VERSION:
            self._warn_once(
                f"newer {row.stage}",
                f"the {row.stage} of clip {row.clip}, and maybe of others, was written by a newer merrflow. It is left "
                "alone and not used here: update merrflow",
            )
            return None
        try:
            return unpacked(row.payload)
        except (TypeError, zlib.error):
            self._drop(row)
            return None

    def _drop(self, row: PackedRow) -> None:
        self._warn_once(
            f"damaged {row.stage}",
            f"the {row.stage} of clip {row.clip}, and maybe of others, is damaged; the next merrflow run does it again",
        )
        self._execute(
            sa.delete(STAGES).where(
                STAGES.c.clip == row.clip,
                STAGES.c.stage == row.stage,
                STAGES.c.fingerprint == row.fingerprint,
            ),
            undone.where(CLIPS.c.name == row.clip, CLIPS.c.fingerprint == row.fingerprint),
        )

    def _warn_once(self, kind: str, text: str) -> None:
        """A ledger may have a hundred thousand rows that are like it."""
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning("%s: %s", self.location, text)


def unpacked(payload: bytes) -> bytes:
    """The JSON of a payload; empty if there is none. Raises `zlib.error` or `TypeError` if it is damaged."""
    return zlib.decompress(payload) if payload else b""

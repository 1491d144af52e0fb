"""Where a dataset's ledger is, and how its database is reached.

In the folder itself, as SQLite; or in a PostgreSQL database that many datasets and many machines share, where each
dataset has a schema of its own. The folder then holds `ledger.json`, which names that schema, so that the folder can
be moved, and seen under another path from another machine.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
import uuid
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError

from merrflow.core.errors import InputError
from merrflow.store.ownership import Ownership

SCHEMA_FILE = "ledger.json"
BUSY_SECONDS = 30  # that SQLite waits for another process's lock; the ledger then asks again (database_retries.py)
IDLE_SECONDS = 2.0  # after which a connection to PostgreSQL is asked whether it is alive before it is used
_RETURNED = "merrflow returned"  # when a connection was last used
# Connections of one ledger to PostgreSQL: one writes and two look up at a time. So sixteen workers, each with one more
# for its lock, and the run that waits for them stay below the hundred that a server allows by default.
_CONNECTIONS = 3
# A machine that vanished is noticed within half a minute, at both ends, so that its locks (locks.py) are free then.
# The user timeout (milliseconds) is for a query on its way, which keep-alives do not watch: without it a cut network is
# noticed after some 15 minutes.
_SERVER_SETTINGS = (
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=25000"
)
_CLIENT_SETTINGS = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
    "connect_timeout": 10,  # seconds
}


@dataclass(frozen=True)
class LedgerLocation:
    """Where a ledger is. As text: its file, or the schema in its database, without the password."""

    url: sa.URL
    schema: str = ""  # PostgreSQL only
    ownership: Ownership = field(default_factory=Ownership, compare=False, repr=False)

    @property
    def is_shared(self) -> bool:
        """Whether other machines can reach it."""
        return self.url.get_backend_name() == "postgresql"

    def __str__(self) -> str:
        return f"{self.url.render_as_string()}, schema {self.schema}" if self.is_shared else self.url.database or ""


class _SchemaFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schema_: str = Field(alias="schema", pattern=r"^[a-z0-9_]{1,63}$")


def locate_ledger(folder: Path, url: str = "", *, make: bool = True) -> LedgerLocation:
    """The ledger of an output folder. url: the setting `ledger_url`; empty: in the folder.

    make: False raises `InputError` if no run was ever made into this folder.
    """
    if not url:
        file = folder / "ledger.db"
        if not make and not file.is_file():
            made = (folder / SCHEMA_FILE).exists()
            why = f"its ledger is in a database ({SCHEMA_FILE})" if made else "no run was ever made into this folder"
            if not made and (folder / "records.jsonl").exists():
                why = "its ledger is gone, though records.jsonl is there"
            raise InputError(
                f"{folder}: {why} (there is no ledger.db); for a ledger in a database set MERRFLOW_LEDGER_URL"
            )
        return LedgerLocation(sa.URL.create("sqlite", database=str(file)))
    location = LedgerLocation(sa.make_url(url))
    if not location.is_shared:
        return location
    file = folder / SCHEMA_FILE
    if not file.exists():
        if not make:
            raise InputError(f"{folder}: no run with a ledger in a database was made into it (no {SCHEMA_FILE})")
        _name_schema(file)
    try:
        schema = _SchemaFile.model_validate_json(file.read_bytes()).schema_
    except (OSError, ValidationError) as error:
        raise InputError(f"{file}: does not name the schema of a ledger; put back the file that was there") from error
    return LedgerLocation(location.url, schema)


def connect(location: LedgerLocation, **options: Any) -> sa.Engine:
    """An SQLAlchemy engine with what merrflow needs of either database. options: for `create_engine`."""
    if not location.is_shared:
        engine = sa.create_engine(location.url, connect_args={"factory": _SQLite}, **options)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _sqlite_pragmas)
        return engine
    settings = _SERVER_SETTINGS + (f" -c search_path={location.schema}" if location.schema else "")
    if "poolclass" not in options:
        options = {"pool_size": _CONNECTIONS, "max_overflow": 0} | options
    engine = sa.create_engine(location.url, connect_args={"options": settings, **_CLIENT_SETTINGS}, **options)
    _ask_the_idle(engine)
    return engine


def _ask_the_idle(engine: sa.Engine) -> None:
    """A connection that broke while nobody used it is replaced rather than used. To ask each time (`pool_pre_ping`)
    would be half of all transactions; if one breaks within seconds, its transaction is begun again, as with any that
    breaks on the way (database_retries.py)."""

    def returned(connection: DBAPIConnection, record: sa.pool.ConnectionPoolEntry) -> None:
        record.info[_RETURNED] = time.monotonic()

    def taken(connection: DBAPIConnection, record: sa.pool.ConnectionPoolEntry, proxy: object) -> None:
        now = time.monotonic()
        if now - record.info.get(_RETURNED, now) < IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError(str(error)) from error

    sa.event.listen(engine, "checkin", returned)
    sa.event.listen(engine, "checkout", taken)


def _name_schema(file: Path) -> None:
    word = re.sub(r"[^a-z0-9]+", "_", file.parent.name.lower())[:40].strip("_") or "dataset"
    try:
        with file.open("x") as new:
            json.dump({"schema": f"{word}_{uuid.uuid4().hex[:12]}"}, new)
    except FileExistsError:  # another process was first
        pass


def _sqlite_pragmas(connection: DBAPIConnection, record: object) -> None:
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={BUSY_SECONDS * 1000}", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


class _SQLite(sqlite3.Connection):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # A damaged file has text that is not UTF-8, which would fail the whole query.
        self.text_factory = partial(str, encoding="utf-8", errors="backslashreplace")

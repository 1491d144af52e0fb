"""Where a dataset's ledger is, and how its database is reached.

In the folder itself, as SQLite; or in a PostgreSQL database that many datasets and many machines share, where each
dataset has a schema of its own. The folder then holds `ledger.json`, which names that schema, so that the folder can
be moved, and seen under another path from another machine.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from merrflow.core.errors import InputError

SCHEMA_FILE = "ledger.json"
BUSY_SECONDS = 30  # that SQLite waits for another process's lock; the ledger then asks again (ledger/)
# A machine that vanished is noticed within half a minute, at both ends, so that its claims (claims.py) are free then.
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


class Tenure:
    """Whether a dataset is still this process's own: while the network is away, another run may take it over."""

    def __init__(self) -> None:
        self.lost = ""  # why it is not
        self.in_doubt = False  # the claim's connection broke, and it is not known yet who has it
        self.confirm: Callable[[], None] = lambda: None  # looks whether it is; set by who holds the claim
        self.was_last: Callable[[], bool] = lambda: True  # whether no other run has come and gone meanwhile


@dataclass(frozen=True)
class Place:
    """Where a ledger is."""

    url: sa.URL
    schema: str = ""  # PostgreSQL only
    tenure: Tenure = field(default_factory=Tenure, compare=False, repr=False)

    @property
    def is_shared(self) -> bool:
        """Whether other machines can reach it."""
        return self.url.get_backend_name() == "postgresql"


class _SchemaFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schema_: str = Field(alias="schema", pattern=r"^[a-z0-9_]{1,63}$")


def place_of(folder: Path, url: str = "", *, make: bool = True) -> Place:
    """The place of a folder's ledger. url: the setting `ledger_url`; empty: in the folder.

    make: False raises `InputError` where no run was ever made into this folder.
    """
    if not url:
        file = folder / "ledger.db"
        if not make and not file.is_file():
            raise InputError(
                f"{folder}: no run was ever made into this folder (there is no ledger.db); for a ledger in a database "
                "set MERRFLOW_LEDGER_URL"
            )
        return Place(sa.URL.create("sqlite", database=str(file)))
    place = Place(sa.make_url(url))
    if not place.is_shared:
        return place
    file = folder / SCHEMA_FILE
    if not file.exists():
        if not make:
            raise InputError(f"{folder}: no run with a ledger in a database was made into it (no {SCHEMA_FILE})")
        _name_schema(file)
    try:
        schema = _SchemaFile.model_validate_json(file.read_bytes()).schema_
    except (OSError, ValidationError) as error:
        raise InputError(f"{file}: does not name the schema of a ledger; put back the file that was there") from error
    return Place(place.url, schema)


def connect(place: Place, **options: object) -> sa.Engine:
    """An SQLAlchemy engine for a place, with what merrflow needs of either database. options: for `create_engine`."""
    if not place.is_shared:
        engine = sa.create_engine(place.url, **options)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _sqlite_pragmas)
        return engine
    settings = _SERVER_SETTINGS + (f" -c search_path={place.schema}" if place.schema else "")
    # pool_pre_ping: a connection that broke while it lay idle is replaced rather than used.
    return sa.create_engine(
        place.url, connect_args={"options": settings, **_CLIENT_SETTINGS}, pool_pre_ping=True, **options
    )


def _name_schema(file: Path) -> None:
    word = re.sub(r"[^a-z0-9]+", "_", file.parent.name.lower())[:40].strip("_") or "dataset"
    try:
        with file.open("x") as new:
            json.dump({"schema": f"{word}_{uuid.uuid4().hex[:12]}"}, new)
    except FileExistsError:  # another process was first
        pass


def _sqlite_pragmas(connection: object, record: object) -> None:
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={BUSY_SECONDS * 1000}", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()

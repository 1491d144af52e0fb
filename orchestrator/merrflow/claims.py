"""Claims: names that one living process holds at a time, and that are free the moment it is gone, however it went.

They keep two processes from doing the same work, and tell the living from the dead: a run whose claim is free has
died. In a folder they are file locks; in PostgreSQL advisory locks, which end with their session, so that they hold
across machines.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from merrflow.database import Place, connect

_PAUSE = 0.2  # seconds between two tries
_KEEP = 5.0  # seconds between two looks at a connection that holds a name
log = logging.getLogger(__name__)


class Taken(Exception):
    """Another process holds the name."""


class Claims(Protocol):
    """Blocking; call it off the event loop. Safe to use from several threads."""

    def hold(self, name: str, wait: float = 0.0) -> AbstractContextManager[None]:
        """A context manager that holds the name. Raises `Taken` after `wait` seconds."""

    def is_free(self, name: str) -> bool:
        """Whether no living process holds the name."""


def claims_at(folder: Path, url: str = "") -> Claims:
    """The claims of a folder; or with the URL of a PostgreSQL database (the setting `ledger_url`) those of that
    database, which are the same for all folders."""
    place = Place(sa.make_url(url)) if url else None
    return DatabaseClaims(place) if place and place.is_shared else FolderClaims(folder / ".claims")


class FolderClaims:
    """Locks on files of a folder; for processes that see the same file system."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def hold(self, name: str, wait: float = 0.0) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder / f"{name}.lock", thread_local=False)  # may be released by another thread
        try:
            lock.acquire(timeout=wait, poll_interval=_PAUSE)
        except Timeout:
            raise Taken(name) from None
        try:
            yield
        finally:
            lock.release()

    def is_free(self, name: str) -> bool:
        if not self._folder.is_dir():
            return True
        try:
            with self.hold(name):
                return True
        except Taken:
            return False


class DatabaseClaims:
    """Advisory locks of a PostgreSQL database; each takes a connection while it is held.

    A thread looks after that connection: where it breaks, as when the server restarts, the name is taken again.
    """

    def __init__(self, place: Place) -> None:
        self._engine = connect(Place(place.url), poolclass=NullPool, isolation_level="AUTOCOMMIT")

    @contextmanager
    def hold(self, name: str, wait: float = 0.0) -> Iterator[None]:
        connection = self._take(name, wait)
        stop = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(name, connection, stop), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            stop.set()
            keeper.join(_KEEP)

    def _take(self, name: str, wait: float) -> sa.Connection:
        end = time.monotonic() + wait
        connection = self._engine.connect()
        while not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_number(name)))):
            if time.monotonic() >= end:
                connection.close()
                raise Taken(name)
            time.sleep(_PAUSE)
        return connection

    def _keep(self, name: str, connection: sa.Connection, stop: threading.Event) -> None:
        while not stop.wait(_KEEP):
            try:
                connection.scalar(sa.select(1))
            except SQLAlchemyError:
                log.warning("the claim of %s was lost with its connection; taking it again", name)
                connection.invalidate()
                connection.close()
                with suppress(SQLAlchemyError, Taken):
                    connection = self._take(name, 0.0)
        with suppress(SQLAlchemyError):
            connection.close()  # which ends the lock

    def is_free(self, name: str) -> bool:
        # A look, without taking it for a moment: that could make its rightful taker believe it is held.
        number = _number(name)
        held = sa.text(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND classid = :high AND objid = :low"
        )
        with self._engine.connect() as db:
            return not db.scalar(held, {"high": (number >> 32) & 0xFFFFFFFF, "low": number & 0xFFFFFFFF})


def _number(name: str) -> int:
    """A name as the signed 64-bit number that PostgreSQL locks."""
    return int.from_bytes(hashlib.sha256(f"merrflow {name}".encode()).digest()[:8], "big", signed=True)

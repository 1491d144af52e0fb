"""Locks: names that one living process holds at a time, and that are free the moment it is gone, however it went.

They keep two processes from doing the same work, and show which of them live: a run whose lock is free has died. In a
folder they are file locks; in PostgreSQL advisory locks, which end with their session, so that they hold across
machines.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from merrflow.store.database import LedgerLocation, connect
from merrflow.store.ownership import Ownership

_PAUSE = 0.2  # seconds between two tries
_KEEP = 5.0  # seconds between two looks at a connection that holds a lock
_TAKE_BACK = 40.0  # seconds; longer than a server keeps a lock for a connection that is gone (database.py)
log = logging.getLogger(__name__)


class LockTaken(Exception):
    """Another process holds the lock."""


class Locks(Protocol):
    """Blocking; call it off the event loop. Safe to use from several threads."""

    def hold(self, name: str, wait: float = 0.0) -> AbstractContextManager[None]:
        """A context manager that holds the lock. Raises `LockTaken` after `wait` seconds."""

    def is_free(self, name: str) -> bool:
        """Whether no living process holds the lock."""


def locks_at(folder: Path, url: str = "") -> Locks:
    """The locks of a folder; or with the URL of a PostgreSQL database (the setting `ledger_url`) those of that
    database, which are the same for all folders."""
    location = LedgerLocation(sa.make_url(url)) if url else None
    return DatabaseLocks(location) if location and location.is_shared else FolderLocks(folder / ".claims")


@contextmanager
def lock_file(path: Path, wait: float = 0.0) -> Iterator[None]:
    """Holds the lock of a file, which is made if need be. Raises `LockTaken` after `wait` seconds."""
    lock = FileLock(path, thread_local=False)  # may be released by another thread
    try:
        lock.acquire(timeout=wait, poll_interval=_PAUSE)
    except Timeout:
        raise LockTaken(path.name) from None
    try:
        yield
    finally:
        lock.release()


class FolderLocks:
    """Locks on files of a folder; for processes that see the same file system."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def hold(self, name: str, wait: float = 0.0) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with lock_file(self._folder / f"{name}.lock", wait):
            yield

    def is_free(self, name: str) -> bool:
        if not self._folder.is_dir():
            return True
        try:
            with self.hold(name):
                return True
        except LockTaken:
            return False


class DatabaseLocks:
    """Advisory locks of a PostgreSQL database; each takes a connection while it is held.

    A thread looks after that connection: if it breaks, as when the server restarts, the lock is taken again. If another
    process has taken it meanwhile, the location's `ownership` says so.
    """

    def __init__(self, location: LedgerLocation) -> None:
        self._engine = connect(LedgerLocation(location.url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._ownership = location.ownership

    @contextmanager
    def hold(self, name: str, wait: float = 0.0) -> Iterator[None]:
        held = _HeldLock(name, self._take(name, wait), self._take, self._ownership)
        stop = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(held, stop), daemon=True)
        keeper.start()
        try:
            with self._ownership.checked_by(held.check):
                yield
        finally:
            stop.set()
            keeper.join(_KEEP)

    def _take(self, name: str, wait: float) -> sa.Connection:
        end = time.monotonic() + wait
        connection = self._engine.connect()
        try:
            while not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_number(name)))):
                if time.monotonic() >= end:
                    raise LockTaken(name)
                time.sleep(_PAUSE)
        except BaseException:
            connection.close()
            raise
        return connection

    def _keep(self, held: _HeldLock, stop: threading.Event) -> None:
        while not stop.wait(_KEEP):
            with suppress(SQLAlchemyError):  # the server is away; it is asked again
                held.check()
        held.release()

    def is_free(self, name: str) -> bool:
        # A look, without taking it for a moment: its rightful holder could take that for another's.
        number = _number(name)
        held = sa.text(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND classid = :high AND objid = :low"
        )
        with self._engine.connect() as db:
            return not db.scalar(held, {"high": (number >> 32) & 0xFFFFFFFF, "low": number & 0xFFFFFFFF})


class _HeldLock:
    """A lock and the connection that carries it."""

    def __init__(
        self, name: str, connection: sa.Connection, take: Callable[[str, float], sa.Connection], ownership: Ownership
    ) -> None:
        self._name = name
        self._connection: sa.Connection | None = connection
        self._take = take
        self._ownership = ownership
        self._one_at_a_time = threading.Lock()

    def check(self) -> None:
        """Makes sure that the lock is held. Raises `SQLAlchemyError` while the server is away; if another process has
        it, `Ownership.lost` says so."""
        with self._one_at_a_time:
            if self._ownership.lost:
                return
            try:
                if self._connection is not None:
                    self._connection.scalar(sa.select(1))
            except SQLAlchemyError:
                log.warning("the lock %s was lost with its connection; taking it again", self._name)
                self._ownership.doubt()
                self._drop()
            taken_over = False
            try:
                if self._connection is None:
                    # For a moment the server may still keep it for the connection that broke.
                    self._connection = self._take(self._name, _TAKE_BACK)
            except LockTaken:
                taken_over = True
            self._ownership.settle(taken_over=taken_over)

    def release(self) -> None:
        """Frees the lock."""
        with self._one_at_a_time:
            if self._connection is not None:
                with suppress(SQLAlchemyError):  # of a connection that ends it does so, too, but a moment later
                    self._connection.scalar(sa.select(sa.func.pg_advisory_unlock(_number(self._name))))
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.invalidate()  # a broken one cannot be closed
                self._connection.close()
            self._connection = None


def _number(name: str) -> int:
    """A name as the signed 64-bit number that PostgreSQL locks."""
    return int.from_bytes(hashlib.sha256(f"merrflow {name}".encode()).digest()[:8], "big", signed=True)

"""A database that fails: what may pass is waited for; for the rest the error says what to do.

Error codes: https://www.sqlite.org/rescode.html and https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

import grpc
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoConnection

from merrflow.core.errors import RunStopped
from merrflow.store.database import LedgerLocation

Value = TypeVar("Value")
PAUSE_SECONDS = 1.0  # between two tries
log = logging.getLogger(__name__)
_QUERY_FAULTS = (IntegrityError, ProgrammingError, DataError, NotSupportedError)
_SQLITE_PASSES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_FREE_SPACE = "its disk is full; free some space, and run the same command again to go on from here"
_SQLITE = {
    sqlite3.SQLITE_FULL: _FREE_SPACE,
    sqlite3.SQLITE_READONLY: "it cannot be written; make it writable, and run the same command again",
    sqlite3.SQLITE_IOERR: "its disk cannot be read or written; look after the disk, and run the same command again",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened any more; put it back, and run the same command again",
    sqlite3.SQLITE_CORRUPT: "it is damaged; put a copy of it back, or move it away to start again",
    sqlite3.SQLITE_NOTADB: "it is damaged; put a copy of it back, or move it away to start again",
}
# Connection trouble, too many connections, a server that stops or starts, a deadlock, a lock that was not free.
_POSTGRES_PASSES = ("08", "53300", "57P", "40", "55P03")
_POSTGRES = {
    "53100": _FREE_SPACE,
    "25006": "it can only be read; make it writable, and run the same command again",
}


class LedgerGone(RunStopped):
    """The ledger cannot be used: the run stops here, and no clip is blamed."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "LEDGER_GONE"
    retryable = True  # a clip that it met is worth another try in the next run


def with_retries(work: Callable[[], Value], patience: float, location: LedgerLocation) -> Value:
    """What `work` returns, which is called again while the database is away or locked.

    patience: seconds. Raises `LedgerGone`; and `work`'s own error if the query is at fault, not the database.
    """
    end = time.monotonic() + patience
    warned = False
    while True:
        try:
            _check_ownership(location)
            return work()
        except (DBAPIError, NoConnection) as error:
            if isinstance(error, _QUERY_FAULTS):
                raise
            if not may_pass(error):
                raise LedgerGone(f"the ledger cannot be used ({location}): {advice(error)}") from error
            if time.monotonic() >= end:
                raise LedgerGone(
                    f"the ledger has been away or locked for {patience:.0f} s ({location}): {_first_line(error)}; run "
                    "the same command again to go on from here"
                ) from error
            location.ownership.doubt()  # the lock may have gone the same way
            if not warned:
                log.warning("the ledger is away or locked; waiting for it (%s)", _first_line(error))
                warned = True
        time.sleep(PAUSE_SECONDS)


def may_pass(error: DBAPIError | NoConnection) -> bool:
    """Whether the database may answer again if one waits."""
    if isinstance(error, NoConnection) or error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite_code(error.orig) in _SQLITE_PASSES
    state = getattr(error.orig, "sqlstate", None)
    return state is None or state.startswith(_POSTGRES_PASSES)  # None: there was no answer at all


def _check_ownership(location: LedgerLocation) -> None:
    """Raises `LedgerGone` if the dataset is another run's now."""
    location.ownership.verify()
    if location.ownership.lost:
        raise LedgerGone(f"the ledger cannot be used ({location}): {location.ownership.lost}; leave it to that one")


def advice(error: Exception) -> str:
    """One line: what a database complains of, and what to do about it if that is known."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(cause, sqlite3.Error):
        what = _SQLITE.get(_sqlite_code(cause))
    else:
        what = _POSTGRES.get(getattr(cause, "sqlstate", None) or "")
    return f"{_first_line(error)}: {what}" if what else _first_line(error)


def _sqlite_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest is the detail


def _first_line(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]

"""A database that fails: what passes is waited for, what does not is said with what to do.

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
from merrflow.store.database import Place

Value = TypeVar("Value")
PAUSE_SECONDS = 1.0  # between two tries
log = logging.getLogger(__name__)
_OWN_FAULTS = (IntegrityError, ProgrammingError, DataError, NotSupportedError)  # of a query, not of the database
_SQLITE_PASSES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_FREE_SPACE = "its disk is full; free some space, and run the same command again to go on from here"
_SQLITE = {
    sqlite3.SQLITE_FULL: _FREE_SPACE,
    sqlite3.SQLITE_READONLY: "it cannot be written; make it writable, and run the same command again",
    sqlite3.SQLITE_IOERR: "its disk cannot be read or written; look after the disk, and run the same command again",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened any more; put it back, and run the same command again",
    sqlite3.SQLITE_CORRUPT: "it is damaged; put a copy of it back, or move it away to begin anew",
    sqlite3.SQLITE_NOTADB: "it is damaged; put a copy of it back, or move it away to begin anew",
}
# Connection trouble, too many connections, a server that stops or starts, a deadlock, a lock that was not had.
_POSTGRES_PASSES = ("08", "53300", "57P", "40", "55P03")
_POSTGRES = {
    "53100": _FREE_SPACE,
    "25006": "it only lets itself be read; make it writable, and run the same command again",
}


class LedgerGone(RunStopped):
    """The ledger cannot be used: the run stops here, and no clip is blamed."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "LEDGER_GONE"
    retryable = True  # a clip that it met is worth another try in the next run


def patiently(work: Callable[[], Value], patience: float, place: Place, where: str) -> Value:
    """What `work` returns, which is called again while the database is away or locked.

    patience: seconds. where: the ledger's place, in words. Raises `LedgerGone`, and `work`'s error where it is of the
    query and not of the database.
    """
    end = time.monotonic() + patience
    told = False
    while True:
        try:
            _check(place, where)
            return work()
        except (DBAPIError, NoConnection) as error:
            if isinstance(error, _OWN_FAULTS):
                raise
            if not passes(error):
                raise LedgerGone(f"the ledger cannot be used ({where}): {_advice(error)}") from error
            if time.monotonic() >= end:
                raise LedgerGone(
                    f"the ledger has been away or locked for {patience:.0f} s ({where}): {_first_line(error)}; run the "
                    "same command again to go on from here"
                ) from error
            place.tenure.in_doubt = True  # the claim may have gone the same way
            if not told:
                log.warning("the ledger is away or locked; waiting for it (%s)", _first_line(error))
                told = True
        time.sleep(PAUSE_SECONDS)


def passes(error: DBAPIError | NoConnection) -> bool:
    """Whether waiting may help."""
    if isinstance(error, NoConnection) or error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite_code(error.orig) in _SQLITE_PASSES
    state = getattr(error.orig, "sqlstate", None)
    return state is None or state.startswith(_POSTGRES_PASSES)  # None: there was no answer at all


def _check(place: Place, where: str) -> None:
    """Raises `LedgerGone` where the dataset is another run's now."""
    if place.tenure.in_doubt:
        place.tenure.confirm()
    if place.tenure.lost:
        raise LedgerGone(f"the ledger cannot be used ({where}): {place.tenure.lost}; leave it to that one")


def _advice(error: DBAPIError) -> str:
    if isinstance(error.orig, sqlite3.Error):
        advice = _SQLITE.get(_sqlite_code(error.orig))
    else:
        advice = _POSTGRES.get(getattr(error.orig, "sqlstate", None) or "")
    return f"{_first_line(error)}: {advice}" if advice else _first_line(error)


def _sqlite_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest is the detail


def _first_line(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]

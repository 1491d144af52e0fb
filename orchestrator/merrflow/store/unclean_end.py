"""A ledger file whose last writer did not end it: a run was killed, or the folder was copied while one wrote.

SQLite survives the first. But a copy of its files is not of one moment, and neither is a file whose `-wal` was lost or
cut: pages of different moments make a database that opens, answers, and lacks results. So a run leaves a mark in the
file while it writes, and whoever finds the mark checks the file before any use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from merrflow.core.errors import InputError
from merrflow.store.database import LedgerLocation, connect
from merrflow.store.database_retries import LedgerGone, may_pass, with_retries

_CLEAN, _WRITING = 0, 1  # SQLite's user_version, which is in the file's header; 0 in ledgers of 0.1.0


@contextmanager
def marked(location: LedgerLocation, patience: float) -> Iterator[None]:
    """Marks the file while the block lasts, in which a run writes into it. Blocking.

    Raises `InputError` if it was marked before and is damaged, and `LedgerGone` if it is locked for longer than
    `patience` seconds.
    """
    engine = connect(location, poolclass=NullPool)
    with_retries(lambda: _begin(engine, location), patience, location)
    try:
        yield
    except LedgerGone:  # which leaves the mark: the next run looks what there is
        raise
    except BaseException:
        _end(engine)
        raise
    else:
        _end(engine)


def _begin(engine: sa.Engine, location: LedgerLocation) -> None:
    with engine.connect() as db:
        if db.exec_driver_sql("PRAGMA user_version").scalar() == _WRITING:
            _check(db, location)
        _mark(db, _WRITING)


def _end(engine: sa.Engine) -> None:
    with suppress(SQLAlchemyError):  # a full disk: the next run checks, and no more
        with engine.connect() as db:
            _mark(db, _CLEAN)


def _mark(db: sa.Connection, mark: int) -> None:
    db.exec_driver_sql(f"PRAGMA user_version = {mark}")
    db.exec_driver_sql("PRAGMA wal_checkpoint(FULL)")  # into the file itself: a copy may be without the -wal


def _check(db: sa.Connection, location: LedgerLocation) -> None:
    try:
        found = str(db.exec_driver_sql("PRAGMA integrity_check(1)").scalar())
    except DBAPIError as error:
        if may_pass(error):
            raise
        found = str(error.orig)
    if found != "ok":
        raise InputError(
            f"{location}: it is damaged ({found.splitlines()[-1]}), as if copied while a run wrote into it; copy the "
            "whole folder again while no run works in it, or move the file away to start again"
        )

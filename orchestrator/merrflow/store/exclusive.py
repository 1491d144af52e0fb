"""An output folder for one run alone."""

from __future__ import annotations

import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from merrflow.core.errors import InputError
from merrflow.store.database import Place, connect
from merrflow.store.locks import DatabaseClaims, Taken

_OLD_SECONDS = 3600.0
_here: set[Path] = set()
_one_at_a_time = threading.Lock()


@contextmanager
def alone_here(out: Path) -> Iterator[None]:
    """The folder for one run of this process, which knows no locks against itself. Raises `InputError`."""
    folder = out.expanduser().resolve()
    with _one_at_a_time:
        if folder in _here:
            raise _busy(out)
        _here.add(folder)
    try:
        yield
    finally:
        with _one_at_a_time:
            _here.discard(folder)


@contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """The output folder, writable and for this run alone. Raises `InputError`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(f"{out}: cannot write there ({error.strerror}); choose another folder with --out") from error
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise _busy(out) from None
    with lock:
        lock.release()  # the `with` holds it now
        _sweep(out)
        yield


def _sweep(out: Path) -> None:
    """Removes what writers that were killed left half written. The young may be another worker's, of this very run."""
    for folder in (out, out / "peaks", out / "merr"):
        for part in folder.glob(".*.part"):
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > _OLD_SECONDS:
                    part.unlink()


@contextmanager
def exclusive_ledger(place: Place, out: Path) -> Iterator[None]:
    """The same across machines whose file systems do not share locks, where the ledger is in a database."""
    if not place.is_shared:
        yield
        return
    hold = DatabaseClaims(place).hold(f"dataset {place.schema}")
    try:
        hold.__enter__()
    except Taken:
        raise _busy(out) from None
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise InputError(f"the ledger's database does not answer: {reason}") from error
    try:
        _sign(place)
        yield
    finally:
        hold.__exit__(None, None, None)


def _sign(place: Place) -> None:
    """Writes into the database which run had the dataset last, so that a run that was cut off for a while learns that
    another one has come and gone meanwhile."""
    name = f"merrflow run {uuid.uuid4().hex}"
    engine = connect(place, poolclass=NullPool)
    with engine.begin() as db:
        db.execute(sa.text(f"COMMENT ON SCHEMA {place.schema} IS '{name}'"))

    def was_last() -> bool:
        query = sa.text("SELECT obj_description(CAST(:schema AS regnamespace), 'pg_namespace')")
        with engine.connect() as db:
            return db.scalar(query, {"schema": place.schema}) == name

    place.tenure.was_last = was_last


def _busy(out: Path) -> InputError:
    return InputError(f"{out}: another run is working there; wait for it, or choose another folder with --out")

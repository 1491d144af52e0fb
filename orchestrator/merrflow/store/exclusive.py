"""An output folder for one run alone."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from merrflow.core.atomic_files import sweep_partial
from merrflow.core.errors import InputError
from merrflow.store.database import LedgerLocation, connect
from merrflow.store.locks import DatabaseLocks, LockTaken, lock_file
from merrflow.store.transactions import PATIENCE_SECONDS
from merrflow.store.unclean_end import marked


@contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """The output folder, writable and for this run alone. Raises `InputError`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(
            f"{out}: cannot write there ({error.strerror}); choose another folder for the output"
        ) from error
    with ExitStack() as stack:
        try:
            stack.enter_context(lock_file(out / ".lock"))
        except LockTaken:
            raise _busy(out) from None
        for folder in (out, out / "peaks", out / "merr"):
            sweep_partial(folder)
        yield


@contextmanager
def exclusive_ledger(location: LedgerLocation, out: Path) -> Iterator[None]:
    """The ledger for this run alone: across machines whose file systems do not share locks if it is in a database, and
    marked as being written if it is in the folder. Raises `InputError`, also if it is damaged."""
    if not location.is_shared:
        with marked(location, PATIENCE_SECONDS):
            yield
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(DatabaseLocks(location).hold(f"dataset {location.schema}"))
        except LockTaken:
            raise _busy(out) from None
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise InputError(f"the ledger's database does not answer: {reason}") from error
        _sign(location)
        yield


def _sign(location: LedgerLocation) -> None:
    """Writes into the database which run had the dataset last, so that a run that was cut off for a while learns that
    another one has come and gone meanwhile."""
    name = f"merrflow run {uuid.uuid4().hex}"
    engine = connect(location, poolclass=NullPool)
    with engine.begin() as db:
        db.execute(sa.text(f"COMMENT ON SCHEMA {location.schema} IS '{name}'"))

    def was_last() -> bool:
        query = sa.text("SELECT obj_description(CAST(:schema AS regnamespace), 'pg_namespace')")
        with engine.connect() as db:
            return bool(db.scalar(query, {"schema": location.schema}) == name)

    location.ownership.sign(was_last)


def _busy(out: Path) -> InputError:
    return InputError(f"{out}: another run is working there; wait for it, or choose another folder for the output")

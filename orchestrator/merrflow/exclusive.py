"""An output folder for one run alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from merrflow.claims import DatabaseClaims, Taken
from merrflow.database import Place
from merrflow.inputs import InputError


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
        yield


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
    try:
        yield
    finally:
        hold.__exit__(None, None, None)


def _busy(out: Path) -> InputError:
    return InputError(f"{out}: another run is working there; wait for it, or choose another folder with --out")

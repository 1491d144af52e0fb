"""The ledger of an output folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from merrflow.core.errors import InputError
from merrflow.core.settings_file import load_settings
from merrflow.store.database import locate_ledger
from merrflow.store.database_retries import LedgerGone
from merrflow.store.dataset_queries import DatasetQueries
from merrflow.store.run_queries import RunQueries
from merrflow.store.score_queries import ScoreQueries
from merrflow.store.verdict_queries import VerdictQueries

_ROOM = 64 << 10  # bytes; SQLite needs 32 KiB beside a ledger to read it


class Ledger(RunQueries, DatasetQueries, VerdictQueries, ScoreQueries):
    """What is done and what came of it. Blocking; call it off the event loop. Safe to use from several threads."""

    @classmethod
    def in_folder(cls, folder: Path, url: str = "", *, make: bool = True) -> Ledger:
        """The ledger of an output folder: in that folder, or in the database at `url`.

        make: False raises `InputError` if no run was ever made into this folder.
        """
        return cls(locate_ledger(folder, url, make=make))


def _is_of_the_disk(error: BaseException) -> bool:
    """Whether SQLite could not read or write, whatever is in the file."""
    while error.__cause__ is not None:
        error = error.__cause__
    name = getattr(error, "sqlite_errorname", None) or ""
    return name.startswith(("SQLITE_IOERR", "SQLITE_FULL"))


def existing_ledger(out: Path) -> Ledger:
    """The ledger of a folder that has one, there or in the database at MERRFLOW_LEDGER_URL. Raises `InputError`,
    or `LedgerGone` if the disk is full or fails."""
    url = load_settings().ledger_url
    try:
        ledger = Ledger.in_folder(out, url, make=False)
        lost = forgotten(ledger, out)
    except (SQLAlchemyError, ImportError, LedgerGone) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        if not url and shutil.disk_usage(out).free < _ROOM:
            raise LedgerGone(
                f"{out}: the disk is full, and the ledger cannot be opened ({reason}); make room"
            ) from error
        where = "MERRFLOW_LEDGER_URL" if url else out / "ledger.db"
        if _is_of_the_disk(error):
            raise LedgerGone(
                f"{where}: the disk fails ({reason}), or a limit on the size of files does; the ledger may be whole"
            ) from error
        raise InputError(f"{where}: not a ledger that can be read ({reason})") from error
    if lost:
        ledger.close()
        raise InputError(
            f"{lost}. The files are as they were; the same run again makes a new ledger, and replaces them"
        )
    return ledger


def forgotten(ledger: Ledger, out: Path) -> str:
    """What is to be said of a folder with results of which its ledger knows nothing; empty if it knows of clips."""
    if not ledger.is_empty():
        return ""
    found = [name for name in ("records.jsonl", "dropped.jsonl") if _has_content(out / name)]
    if not found:
        return ""
    return (
        f"{out}: its ledger holds no clip, but {' and '.join(found)} hold results: the database with the ledger was "
        "deleted (such as by docker-compose down -v), or MERRFLOW_LEDGER_URL names another one"
    )


def _has_content(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except OSError:
        return False

"""Homes for Prefect whose database is there: to make it takes a server five seconds of a core, more than its start."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from tests.paths import ROOT


def home_with_database(folder: Path) -> Path:
    """The folder, as the home of a server that has run there once and forgotten all."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "prefect.db").exists():
        shutil.copyfile(_empty_database(), folder / "prefect.db")
    return folder


def _empty_database() -> Path:
    """Made once for each version of Prefect, by its own migrations, and kept from run to run."""
    kept = ROOT / f"build/prefect-{version('prefect')}.db"
    kept.parent.mkdir(exist_ok=True)
    with FileLock(f"{kept}.lock"):  # of all that run tests here
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=kept.parent) as home:
                _migrate(Path(home))
                os.replace(f"{home}/prefect.db", kept)
    return kept


def _migrate(home: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
    ran = subprocess.run(
        command, cwd=home, env=environment | {"PREFECT_HOME": str(home)}, stdin=subprocess.DEVNULL, capture_output=True
    )
    assert ran.returncode == 0, ran.stderr.decode()
    with closing(sqlite3.connect(home / "prefect.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that all of it is in this one file

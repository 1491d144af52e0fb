"""A PostgreSQL server for tests and programs, where its programs are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port


class NoPostgres(Exception):
    """No server can be started here; says why."""


def _programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, which Debian keeps out of the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database, whose server runs within the block. Raises `NoPostgres`."""
    programs = _programs()
    if programs is None:
        raise NoPostgres("PostgreSQL is not installed (apt-get install postgresql)")
    as_user: list[str] = []
    if os.getuid() == 0:  # which PostgreSQL refuses to run as
        if not shutil.which("runuser"):
            raise NoPostgres("PostgreSQL does not run as root, and there is no runuser")
        as_user = ["runuser", "-u", "postgres", "--"]
    # Not one of pytest's folders, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="merrflow-postgres-"))
    if as_user:
        shutil.chown(folder, "postgres")
    port = free_port()

    def call(program: str, *arguments: str) -> None:
        subprocess.run([*as_user, programs / program, *arguments], check=True, capture_output=True, cwd="/")

    call("initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "merrflow", "-E", "UTF8", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    call("pg_ctl", "-D", f"{folder}/data", "-o", options, "-l", f"{folder}/log", "-w", "start")
    try:
        call("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "merrflow", "merrflow")
        yield f"postgresql+psycopg://merrflow@127.0.0.1:{port}/merrflow"
    finally:
        call("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(folder)

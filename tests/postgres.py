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


class Cluster:
    """A server with an empty database, in a folder of its own, which `remove` removes."""

    def __init__(self, options: str = "-c fsync=off") -> None:
        """options: of the server. Raises `NoPostgres`."""
        programs = _programs()
        if programs is None:
            raise NoPostgres("PostgreSQL is not installed (apt-get install postgresql)")
        self._as_user: list[str] = []
        if os.getuid() == 0:  # which PostgreSQL refuses to run as
            if not shutil.which("runuser"):
                raise NoPostgres("PostgreSQL does not run as root, and there is no runuser")
            self._as_user = ["runuser", "-u", "postgres", "--"]
        self._programs = programs
        # Not one of pytest's folders, which other users may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="merrflow-postgres-"))
        if self._as_user:
            shutil.chown(self.folder, "postgres")
        port = free_port()
        self._options = f"-p {port} -k {self.folder} -c listen_addresses=127.0.0.1 {options}"
        self.url = f"postgresql+psycopg://merrflow@127.0.0.1:{port}/merrflow"
        self._call("initdb", "-D", f"{self.folder}/data", "-A", "trust", "-U", "merrflow", "-E", "UTF8", "--no-sync")
        self.start()
        self._call("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "merrflow", "merrflow")

    @property
    def pid(self) -> int:
        """Of the server's first process, whose children do the work."""
        return int((self.folder / "data/postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        self._control("-o", self._options, "-l", f"{self.folder}/log", "-w", "start")

    def stop(self) -> None:
        """At once, as a machine that fails would; what was committed is there after the next start."""
        self._control("-m", "immediate", "stop")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _control(self, *arguments: str) -> None:
        self._call("pg_ctl", "-D", f"{self.folder}/data", *arguments)

    def _call(self, program: str, *arguments: str) -> None:
        # Its output goes nowhere: the server would keep a pipe open.
        command = [*self._as_user, self._programs / program, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database, whose server runs within the block. Raises `NoPostgres`."""
    cluster = Cluster()
    try:
        yield cluster.url
    finally:
        cluster.remove()

"""Runs as processes whose surroundings fail: `merrflow run` with or without Prefect, and with the patience a test has.

`python -m tests.faults.surroundings run CLIPS --out OUT` is `merrflow run` without Prefect. The variable
MERRFLOW_FAULTS_HASTE makes every time-out of the ledger that many seconds long (MERRFLOW_FAULTS_PATIENCE: all but its
patience), where a test cannot wait for the real ones; the code that meets them is the same.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from merrflow.flow.termination import Termination
from merrflow.flow.work import Work
from merrflow.pipeline.request import Request
from merrflow_serving.catalog import NEEDED, SERVICES
from tests.faults.processes import ROOT, Faults
from tests.faults.processes_checks import open_ledger

BARE = (sys.executable, "-m", "tests.faults.surroundings", "run")
WHOLE = (sys.executable, "-c", "from merrflow.cli import main; main()", "run")
long_ones = pytest.mark.skipif(
    os.environ.get("MERRFLOW_TEST_FAULTS") != "1", reason="takes minutes: set MERRFLOW_TEST_FAULTS=1"
)


def addresses(host: str = "127.0.0.1", ports: Mapping[str, int] | None = None) -> dict[str, str]:
    """The variables that name services on a host, at these ports or their own."""
    found = {name: (ports or {}).get(name, SERVICES[name].port) for name in NEEDED}
    return {f"{SERVICES[name].env_prefix}ADDRESS": f"{host}:{port}" for name, port in found.items()}


def environment(faults: Faults, settings: Mapping[str, object]) -> dict[str, str]:
    """For a run: settings by their names, such as `retry_seconds=5`."""
    own = {f"MERRFLOW_{name.upper()}": str(value) for name, value in settings.items()}
    return {**faults.environment, "PREFECT_HOME": str(ROOT / "nowhere"), **own}


def start(command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
    """A run, with its output to be read from `ended`."""
    # Not at the top of the repository, where Prefect would read the .env.
    # A shell's background jobs ignore Ctrl-C, and so would all that they start: here a run is one in the foreground.
    foreground = ["env", "--default-signal=INT", *command]
    return subprocess.Popen(
        foreground,
        env=dict(env),
        cwd=tempfile.gettempdir(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str], seconds: float = 180.0) -> tuple[int, str]:
    """Exit code and output."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"it did not end within {seconds:.0f} s:\n{process.communicate()[0]}") from None
    assert "Traceback" not in output, output
    return process.returncode, output


def until(seen: Callable[[], object], what: str, process: subprocess.Popen[str] | None = None) -> None:
    """Waits until `seen` gives something true."""
    deadline = time.monotonic() + 120
    while not seen():
        if process and process.poll() is not None:
            raise AssertionError(f"ended before {what}:\n{process.communicate()[0]}")
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def done_rows(out: Path, url: str = "") -> dict[tuple[str, str, str], str]:
    """(clip, stage, fingerprint) -> when it was finished, of all work that came to a result."""
    import sqlalchemy as sa

    ledger = open_ledger(out, url)
    try:
        with ledger._engine.connect() as db:
            query = "SELECT clip, stage, fingerprint, finished_at FROM stages WHERE outcome != 'failed'"
            return {(row.clip, row.stage, row.fingerprint): str(row.finished_at) for row in db.execute(sa.text(query))}
    finally:
        ledger.close()


def assert_kept(before: Mapping[object, str], after: Mapping[object, str]) -> None:
    """Nothing of what was finished was written anew or is gone."""
    assert before == {key: after.get(key) for key in before}


class Postgres:
    """A PostgreSQL server, on a host of a test's network or here."""

    def __init__(self, inside: Callable[[Sequence[str]], list[str]] = list, address: str = "127.0.0.1") -> None:
        """inside: makes a command one of the host at `address`."""
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not programs or not shutil.which("runuser"):
            pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
        self._programs, self._inside = programs[-1].parent, inside
        self.folder = Path(tempfile.mkdtemp(prefix="merrflow-postgres-"))
        shutil.chown(self.folder, "postgres")
        self._data = self.folder / "data"
        self._call("initdb", "-D", self._data, "-A", "trust", "-U", "merrflow", "-E", "UTF8", "--no-sync")
        with (self._data / "pg_hba.conf").open("a") as file:
            file.write("host all all 10.77.0.0/24 trust\n")
        self._options = f"-p 5432 -k {self.folder} -c listen_addresses={address} -c fsync=off"
        self.start()
        self._call("createdb", "-h", self.folder, "-U", "merrflow", "merrflow")
        self.url = f"postgresql+psycopg://merrflow@{address}:5432/merrflow"
        self.local_url = f"postgresql+psycopg://merrflow@/merrflow?host={self.folder}"  # past the network

    def start(self) -> None:
        self._call("pg_ctl", "-D", self._data, "-o", self._options, "-l", self.folder / "log", "-w", "start")

    def stop(self) -> None:
        self._call("pg_ctl", "-D", self._data, "-m", "immediate", "stop")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _call(self, program: str, *arguments: object) -> None:
        command = ["runuser", "-u", "postgres", "--", self._programs / program, *arguments]
        # Its output goes nowhere: the server would keep a pipe open.
        subprocess.run(
            self._inside(list(map(str, command))),
            check=True,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@contextmanager
def small_disk(folder: Path, kibibytes: int) -> Iterator[Path]:
    """A file system of that size, at this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a file system can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """options: such as "ro", or "size=100m"."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@contextmanager
def ending(*processes: subprocess.Popen[str]) -> Iterator[None]:
    """Ends what still runs."""
    try:
        yield
    finally:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()


async def without_prefect(work: Work, request: Request, termination: Termination) -> None:
    """No Prefect beside the work, for `merrflow.flow.run._run_flow`."""


def _be_hasty(seconds: float) -> None:
    from merrflow.store import database, locks
    from merrflow.store import transactions as store

    store.PATIENCE_SECONDS = float(os.environ.get("MERRFLOW_FAULTS_PATIENCE", seconds))
    locks._KEEP = locks._TAKE_BACK = seconds
    milliseconds = round(seconds * 1000)
    database._CLIENT_SETTINGS |= {"tcp_user_timeout": milliseconds, "connect_timeout": 2}
    database._SERVER_SETTINGS = (
        "-c tcp_keepalives_idle=1 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=2 "
        f"-c tcp_user_timeout={milliseconds}"
    )


def _main() -> None:
    from merrflow.cli import main
    from merrflow.flow import run

    if haste := os.environ.get("MERRFLOW_FAULTS_HASTE"):
        _be_hasty(float(haste))

    run._run_flow = without_prefect
    main()


if __name__ == "__main__":
    _main()

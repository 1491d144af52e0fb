"""A run killed with kill -9: all that it had started ends too, and what it left in temporary folders is swept."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from merrflow.pipeline.local_services import LocalServices
from tests.faults.processes import Faults
from tests.faults.surroundings import BARE, WHOLE, ending, environment, start, until
from tests.prefect_home import home_with_database

NAMES = [f"c{number:02}" for number in range(12)]
SECONDS = 20.0  # for what is left of a killed run to end


def descendants(process: subprocess.Popen[str]) -> dict[psutil.Process, str]:
    found = {}
    for one in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a short-lived child of another kind that has just ended
            found[one] = " ".join(one.cmdline())
    return found


def servers_of(commands: Iterable[str]) -> int:
    return sum("own_server" in command for command in commands)


def killed_at_work(
    clips: Path, out: Path, slow: Faults, env: dict[str, str], command: tuple[str, ...], servers: int = 0
) -> dict[psutil.Process, str]:
    """A run that is killed while its services work, and as many servers of Prefect; what it had started, by command
    line."""
    before = slow.calls()
    run = start([*command, str(clips), "--out", str(out)], env)
    with ending(run):
        until(lambda: (slow.calls() - before).total() > 6, "calls", run)
        until(lambda: servers_of(descendants(run).values()) == servers, "Prefect's server", run)
        started = descendants(run)
        run.send_signal(signal.SIGKILL)
        run.wait()
    return started


@pytest.mark.parametrize(
    ("command", "servers"), [pytest.param(BARE, 0), pytest.param(WHOLE, 1, marks=pytest.mark.slow)]
)
def test_what_a_killed_run_started_ends_with_it(tmp_path, clips, slow, command, servers):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = environment(slow, {"label_scores": "none", "clips_at_once": 3})
    env |= {"PREFECT_HOME": str(home_with_database(tmp_path / "prefect")), "TMPDIR": str(temporary)}
    started = killed_at_work(clips, tmp_path / "out", slow, env, command, servers)
    names = started.values()
    assert len([name for name in names if "merrflow_serving" in name]) == 4, names
    assert servers_of(names) == servers, names
    _, alive = psutil.wait_procs(list(started), timeout=SECONDS)
    assert not alive, f"left behind: {alive}"
    assert not list(temporary.glob("merrflow-*"))


async def test_the_next_run_sweeps_what_killed_services_left(tmp_path, slow, monkeypatch):
    """llama3's own folder, if the service is killed too, as when memory runs out or a container is stopped."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    left, living = temporary / "merrflow-llama3-left", temporary / "merrflow-llama3-living"
    for folder in (left, living):
        folder.mkdir(mode=0o700)
        (folder / "lock").touch()
        os.utime(folder, (0, 0))
    for name, value in slow.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with (living / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        async with LocalServices(tmp_path / "logs", None, ["qwen-audio"]):
            pass
    assert list(temporary.glob("merrflow-*")) == [living]

"""Prefect's server of a user's runs: shared, found again, and gone when nobody needs it, whoever was killed."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    temporary_settings,
)

from merrflow.flow.own_server import own_server
from merrflow.flow.trouble import PrefectServerFailed
from tests.prefect_home import home_with_database

PATIENCE = 120
END_SECONDS = 30.0


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Prefect's home. Servers that are left in it are killed."""
    home = home_with_database(tmp_path / "prefect")
    own = {PREFECT_HOME: home, PREFECT_API_URL: None, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: PATIENCE}
    with temporary_settings(updates=own, restore_defaults={PREFECT_API_URL}):
        yield home
    for server in servers(home):
        with suppress(psutil.NoSuchProcess):
            server.kill()


def servers(home: Path) -> list[psutil.Process]:
    """The servers that said so in their files and live."""
    found = []
    for file in (home / "merrflow").glob("server-*.lock"):
        with suppress(psutil.NoSuchProcess, ValueError, KeyError):
            process = psutil.Process(json.loads(file.read_text())["pid"])
            if process.status() != psutil.STATUS_ZOMBIE and str(home) in " ".join(process.cmdline()):
                found.append(process)
    return found


def only(home: Path) -> int:
    (server,) = servers(home)
    return server.pid


async def until_gone(home: Path) -> None:
    async with asyncio.timeout(END_SECONDS):
        while servers(home):
            await asyncio.sleep(0.2)


async def used(home: Path, idle: float, seconds: float = 0.0) -> tuple[str, int]:
    """Uses a server for a while. Its URL and process id."""
    async with own_server(idle):
        await asyncio.sleep(seconds)
        return PREFECT_API_URL.value(), only(home)


@pytest.mark.slow
async def test_runs_share_a_server_and_the_next_one_finds_it_until_it_was_idle(home, monkeypatch):
    (home / "prefect.db").unlink()  # as before a user's first run
    monkeypatch.setenv("MERRFLOW_TOKEN", "secret")
    first, second = await asyncio.gather(used(home, 4, 2.0), used(home, 4, 2.0))
    assert first == second, "two that begin at once have one"
    (server,) = servers(home)
    assert "MERRFLOW_TOKEN" not in server.environ(), "what is merrflow's is not in the server's environment"
    assert Path(server.cwd()) == home / "merrflow"
    with next((home / "merrflow").glob("*.lock")).open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    began = time.monotonic()
    assert await used(home, 4, 5.0) == first, "and it does not end while it is used, however long nobody asks it"
    assert time.monotonic() - began < 5.0 + 3.0, "a server that is there is not waited for"
    assert len(servers(home)) == 1
    await until_gone(home)


@pytest.mark.slow
async def test_a_killed_server_is_replaced_and_a_killed_run_leaves_one_that_works(home):
    url, server = await used(home, 60)
    os.kill(server, signal.SIGKILL)
    other, successor = await used(home, 60)
    assert (other, successor) != (url, server)
    os.kill(successor, signal.SIGKILL)
    await until_gone(home)

    run = (
        "import asyncio, time; from merrflow.flow.own_server import own_server\n"
        "async def main():\n    async with own_server(60): print('begun', flush=True); time.sleep(600)\n"
        "asyncio.run(main())"
    )
    environment = os.environ | {"PREFECT_HOME": str(home), "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"}
    environment.pop("PREFECT_API_URL", None)
    with subprocess.Popen([sys.executable, "-c", run], env=environment, stdout=subprocess.PIPE) as killed:
        while not servers(home):  # which is before it answers
            assert killed.poll() is None
            await asyncio.sleep(0.02)
        killed.kill()
    left = only(home)
    assert (await used(home, 60))[1] == left


@pytest.mark.slow
async def test_a_server_that_hangs_is_not_waited_for_for_ever(home):
    _, server = await used(home, 60)
    os.kill(server, signal.SIGSTOP)
    try:
        with (
            temporary_settings(updates={PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 3}),
            pytest.raises(PrefectServerFailed, match=r"does not answer within 3 s"),
        ):
            await used(home, 60)
        assert only(home) == server
    finally:
        os.kill(server, signal.SIGCONT)


async def test_a_home_that_cannot_be_written_is_a_reason_in_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        temporary_settings(updates={PREFECT_HOME: tmp_path / "file/home"}, restore_defaults={PREFECT_API_URL}),
        pytest.raises(PrefectServerFailed, match=r"its server does not start: Not a directory: .*/file"),
    ):
        async with own_server(0):
            pass

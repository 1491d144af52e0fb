"""Prefect's server gone in the middle of a run: the run goes on, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.conftest import make_clips
from tests.faults.processes import Faults, supervised
from tests.faults.processes import addresses as addresses_of
from tests.faults.processes_checks import assert_whole
from tests.faults.surroundings import WHOLE, ended, ending, environment, long_ones, start, until
from tests.ports import free_port
from tests.prefect_home import home_with_database

NAMES = [f"c{number:02}" for number in range(12)]
pytestmark = long_ones


class PrefectServer:
    """`prefect server start`, in a process that can be killed, stopped for a while, and started again."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/api"
        self._folder = home_with_database(folder)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        own = {"PREFECT_HOME": str(self._folder), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_API_URL": ""}
        arguments = ["-m", "uvicorn", "--factory", "prefect.server.api.server:create_app", "--port", str(self._port)]
        with (self._folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *arguments], env=os.environ | own, cwd=self._folder, stdout=log, stderr=log
            )
        until(self._answers, "Prefect's server answers")

    def _answers(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=5) as reply:
            return reply.status == 200
        time.sleep(0.5)
        return False

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), NAMES)


@pytest.fixture(scope="module")
def slow(tmp_path_factory) -> Iterator[tuple[Faults, dict[str, str]]]:
    faults = Faults(tmp_path_factory.mktemp("faults"), MERRFLOW_FAULTS_LATENCY=1.0)
    with supervised(faults, tmp_path_factory.mktemp("logs")) as found:
        yield faults, addresses_of(found)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[PrefectServer]:
    found = PrefectServer(tmp_path_factory.mktemp("server"))
    found.start()
    try:
        yield found
    finally:
        found.kill()


@pytest.mark.parametrize(
    "fault",
    [
        "killed",
        pytest.param("killed and back", marks=long_ones),
        pytest.param("hanging", marks=long_ones),
        pytest.param("hanging for a while", marks=long_ones),
    ],
)
def test_a_server_that_goes_in_mid_run(tmp_path, clips, slow, server, fault):
    faults, addresses = slow
    out = tmp_path / "out"
    env = environment(faults, {"label_scores": "none", "clips_at_once": 2, "shard_size": 4} | addresses)
    env |= {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_URL": server.url}
    before = faults.calls()
    run = start([*WHOLE, str(clips), "--out", str(out)], env)
    with ending(run):
        until(lambda: (faults.calls() - before).total() > 6, "calls", run)
        try:
            if "killed" in fault:
                server.kill()
            else:
                server.process.send_signal(signal.SIGSTOP)
            if fault in ("killed and back", "hanging for a while"):
                time.sleep(6)
                server.start() if "killed" in fault else server.process.send_signal(signal.SIGCONT)
            code, output = ended(run, 400)
        finally:
            server.process.send_signal(signal.SIGCONT) if "hanging" in fault else None
            if server.process.poll() is not None:
                server.start()
    assert code == 0, output
    assert_whole(out, NAMES)
    assert max((faults.calls() - before).values()) == 1, "nothing was done twice"


def test_a_server_that_is_gone_before_the_flow_began_is_done_without(tmp_path, clips, slow, server):
    """It answers the first question and is gone then."""
    faults, addresses = slow
    out = tmp_path / "out"
    env = environment(faults, {"label_scores": "none"} | addresses)
    env |= {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_URL": server.url}
    env |= {"PREFECT_CLIENT_MAX_RETRIES": "1"}
    run = start([*WHOLE, str(clips), "--out", str(out)], env)
    with ending(run):
        until(lambda: (out / "ledger.db").exists(), "a ledger", run)
        server.kill()
        try:
            code, output = ended(run, 300)
        finally:
            server.start()
    assert code == 0, output
    assert_whole(out, NAMES)

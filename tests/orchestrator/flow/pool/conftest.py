"""Workers of the Prefect server as real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from merrflow.flow.run import PREFECT_DEFAULTS
from tests.ports import free_port


class Workers:
    """`merrflow worker` processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.all: list[subprocess.Popen[bytes]] = []

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        log = (self._folder / f"worker-{len(self.all)}.log").open("wb")
        command = [sys.executable, "-c", "from merrflow.cli import main; main()", "worker", "--limit", "2"]
        # Without what a run in this process has set for itself, which would leave a worker's log empty.
        inherited = {name: value for name, value in os.environ.items() if name not in PREFECT_DEFAULTS}
        # Each its own health page, as each has in a container of its own; and none waits 10 s before it asks for work.
        own = {"PREFECT_WORKER_WEBSERVER_PORT": str(free_port()), "PREFECT_WORKER_QUERY_SECONDS": "1"}
        process = subprocess.Popen(
            command, env=inherited | own | environment, stdout=log, stderr=log, start_new_session=True
        )
        self.all.append(process)
        return process

    def log(self, number: int) -> str:
        return (self._folder / f"worker-{number}.log").read_text()

    @staticmethod
    def kill(process: subprocess.Popen[bytes]) -> None:
        """As the end of its container would: itself and all it started, at once."""
        try:
            whole = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return
        process.send_signal(signal.SIGSTOP)  # so that it sees none of the others go
        for one in [*whole, psutil.Process(process.pid)]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    found = Workers(tmp_path)
    yield found
    for process in found.all:
        found.kill(process)


async def until(seen: object, seconds: float = 120.0) -> object:
    """Waits until the async function `seen` gives something true, and returns that."""
    for _ in range(int(seconds / 0.5)):
        if result := await seen():
            return result
        await asyncio.sleep(0.5)
    raise AssertionError(f"not within {seconds:.0f} s")

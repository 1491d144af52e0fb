"""`merrflow review` and `audit` as processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.ports import free_port


class Server:
    """`merrflow review` or `audit` at one port, which can be killed and started again."""

    def __init__(self, out: Path, *command: str) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}/"
        self._command = [sys.executable, "-c", "from merrflow.cli import main; main()", *command]
        self._command += ["--out", str(out), "--port", str(self.port)]
        self._log = out / "server.log"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        with httpx.Client(trust_env=False) as client:
            for _ in range(300):
                try:
                    client.get(f"{self.address}api/about").raise_for_status()
                    return
                except httpx.TransportError:
                    assert self.process.poll() is None, self._log.read_text()
                    time.sleep(0.1)
        raise AssertionError(self._log.read_text())

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(20)


@contextmanager
def serving(out: Path, *command: str) -> Iterator[Server]:
    server = Server(out, *command)
    server.start()
    try:
        yield server
    finally:
        server.end(signal.SIGKILL)

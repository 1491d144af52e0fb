"""Replicas of a toy service on 127.0.0.2, 127.0.0.3, ...: in this process, or as processes that can be killed.

The engine answers what it was sent and the host that it runs on. Run as a module it is one replica.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import replace

from merrflow.qwen_audio.v1 import qwen_audio_pb2 as pb
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.server import Server, serve
from tests.paths import ROOT
from tests.ports import free_port
from tests.services.serving import toy


class Echo:
    """Takes SECONDS for a batch of up to four, and its process down on b"poison"."""

    revision = "1"
    max_seconds = 60.0
    seconds = float(os.environ.get("ECHO_SECONDS", "0.02"))
    loaded = threading.Event()  # clear it to keep an engine in `load`
    loaded.set()

    def __init__(self, settings) -> None:
        self._host = settings.host

    def load(self) -> None:
        self.loaded.wait(30)

    def info(self) -> EngineInfo:
        limits = Limits(max_batch_size=4, max_seconds=self.max_seconds)
        return EngineInfo("echo", "echo-1", self.revision, limits=limits)

    def run(self, batch: list[bytes]) -> list[str]:
        if b"poison" in batch:
            os._exit(1)
        time.sleep(self.seconds)
        return [f"{item.decode()} {self._host}" for item in batch]

    def close(self) -> None:
        pass


class Newer(Echo):
    """Another revision of the model."""

    revision = "2"


class Shorter(Echo):
    """The same model with a lower limit."""

    max_seconds = 30.0


SPEC = replace(toy.SPEC, engines={name: f"{__name__}:{name}" for name in ("Echo", "Newer", "Shorter")})


def request(text: str) -> pb.DescribeRequest:
    found = pb.DescribeRequest(clip=text)
    found.audio.data = text.encode()
    return found


async def start(host: str, port: int, engine: str = "Echo", **settings) -> Server:
    """A replica in this process, which may still be loading."""
    server = Server(SPEC, SPEC.settings(host=host, port=port, engine=engine, drain_seconds=5, **settings))
    await server.start()
    return server


@asynccontextmanager
async def replicas(*hosts: str, **settings):
    """Warm replicas in this process; gives the port and the servers."""
    port = free_port()
    servers = [await start(host, port, **settings) for host in hosts]
    for server in servers:
        await server.wait_ready()
    try:
        yield port, servers
    finally:
        await asyncio.gather(*(server.stop() for server in servers))


class Process:
    """A replica in a process of its own; `supervised` ones are started again each time they die."""

    def __init__(self, host: str, port: int, seconds: float = 0.02, *, supervised: bool = False) -> None:
        self.starts = 0
        self._arguments = [sys.executable, "-m", __name__, host, str(port)]
        self._environment = os.environ | {"ECHO_SECONDS": str(seconds)}
        self._over = not supervised
        self._start()
        self._thread = threading.Thread(target=self._supervise, daemon=True)
        self._thread.start()

    def _start(self) -> None:
        self.starts += 1
        self.process = subprocess.Popen(
            self._arguments, cwd=ROOT, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def _supervise(self) -> None:
        self.process.wait()
        while not self._over:
            self._start()
            self.process.wait()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        self._over = True
        while self._thread.is_alive():  # it may just have started another
            self.process.kill()
            self._thread.join(0.1)


if __name__ == "__main__":
    host, port = sys.argv[1:]
    asyncio.run(serve(SPEC, SPEC.settings(host=host, port=int(port), engine="Echo", drain_seconds=5)))

"""A compose project without Docker: each "container" is a real gRPC server in this process, started and stopped."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from merrflow_serving.catalog import NEEDED
from merrflow_serving.describe import describe
from merrflow_serving.server import Server
from tests.orchestrator import fakes
from tests.ports import free_port

GIB = 1 << 30
SIZES = {"openface-au": 0, "minigpt-v2": 15, "qwen-audio": 18, "llama3": 17}  # GiB


class FakeProject:
    """Must be made on the event loop that the servers shall run on; it is used from threads."""

    def __init__(self, ports: dict[str, int], sizes: dict[str, int] = SIZES, card: int = 24, **engines: type) -> None:
        self.log: list[str] = []  # "+llama3" when started, "-llama3" when stopped
        self.most: set[frozenset[str]] = set()  # what ran together
        self.servers: dict[str, Server] = {}
        self.trouble_of: dict[str, str] = {}  # service -> why its container ends
        self.stumbles: dict[str, Exception] = {}  # service -> what it raises once it is warm
        self._ports, self._sizes, self._card, self._engines = ports, sizes, card, engines
        self._loop = asyncio.get_running_loop()

    def running(self) -> frozenset[str]:
        return frozenset(self.servers)

    def replicas(self, service: str) -> int:
        return 1

    def address(self, service: str) -> str:
        return f"127.0.0.1:{self._ports[service]}"

    def describe(self, service: str) -> str:
        spec = self._spec(service)
        found: dict[str, Any] = describe(spec, spec.settings(engine="fake"))
        size = self._sizes[service] * GIB
        if size:
            found["need"] = {"least_bytes": size, "full_bytes": size}
            found["gpu"] = {"name": "a card", "uuid": "1", "total_bytes": self._card * GIB}
        return "a library says hello\n" + json.dumps(found) + "\n"

    def start(self, services) -> None:
        for name in services:
            asyncio.run_coroutine_threadsafe(self._start(name), self._loop).result(30)

    def stop(self, services) -> None:
        for name in services:
            asyncio.run_coroutine_threadsafe(self._stop(name), self._loop).result(30)

    def trouble(self, service: str) -> str:
        return self.trouble_of.get(service, "")

    async def close(self) -> None:
        for name in list(self.servers):
            await self._stop(name)

    async def _start(self, name: str) -> None:
        self.log.append(f"+{name}")
        if name in self.trouble_of:
            return
        spec = self._spec(name)
        port = int(self.address(name).rsplit(":", 1)[1])
        self.servers[name] = Server(spec, spec.settings(port=port, drain_seconds=1, engine="fake"))
        await self.servers[name].start()
        await self.servers[name].wait_ready()
        fakes.calls[name] -= 1  # of the warm-up
        if name in self.stumbles:
            fakes.trouble[name] = self.stumbles[name]
        self.most.add(frozenset(self.servers))

    async def _stop(self, name: str) -> None:
        self.log.append(f"-{name}")
        fakes.trouble.pop(name, None)
        await self.servers.pop(name).stop()

    def _spec(self, name: str) -> Any:
        spec, cls = fakes.SPECS[name.partition(".")[0]]  # a second engine is called after its role
        cls = self._engines.get(name.replace("-", "_").replace(".", "_"), cls)
        return replace(spec, engines={"fake": f"{cls.__module__}:{cls.__name__}"})


def free_ports() -> dict[str, int]:
    """A port of its own for each service."""
    return {name: free_port() for name in NEEDED}

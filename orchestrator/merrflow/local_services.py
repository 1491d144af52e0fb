"""The embedded services as local processes, for machines where nothing else runs.

They listen on free loopback ports, end with this process however it ends (their standard input closes), and
are started again where one dies in the middle of a run.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from merrflow_serving.__main__ import load_spec, read_settings
from merrflow_serving.catalog import SERVICES
from merrflow_serving.engine import EngineInfo
from merrflow_serving.errors import NotReady

START_SECONDS = 60.0
LIVED_SECONDS = 30.0
QUICK_DEATHS = 20  # in a row, each within LIVED_SECONDS: it is not a clip that kills this service


class LocalServices:
    """An async context manager: starts the services, and drains and stops them."""

    def __init__(self, logs: Path, media_root: Path | None, names: Iterable[str] = tuple(SERVICES)) -> None:
        """logs: folder for a log file a service. media_root: whose files may be named by path."""
        self._logs = logs
        self._names = tuple(names)
        self._media_root = media_root
        self._folder = tempfile.TemporaryDirectory(prefix="merrflow-")
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self.addresses: dict[str, str] = {}

    async def __aenter__(self) -> LocalServices:
        self._logs.mkdir(parents=True, exist_ok=True)
        try:
            found = await asyncio.gather(*(self._start(name, port=0) for name in self._names))
        except BaseException:
            await self.__aexit__()
            raise
        self.addresses = dict(zip(self._names, found, strict=True))
        self._watchers = [asyncio.create_task(self._watch(name)) for name in self._names]
        return self

    async def __aexit__(self, *error: object) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        await asyncio.gather(*(_stop(process) for process in self._processes.values()))
        self._folder.cleanup()

    async def _start(self, name: str, port: int) -> str:
        address_file = Path(self._folder.name) / name
        address_file.unlink(missing_ok=True)
        log = self._logs / f"{name}.log"
        environment = dict(os.environ)
        prefix = SERVICES[name].env_prefix
        if self._media_root:
            environment[f"{prefix}MEDIA_ROOTS"] = str(self._media_root)
        environment[f"{prefix}HOST"] = "127.0.0.1"
        # All four share this machine; a language model on every core would only stand in the others' way.
        environment.setdefault("MERRFLOW_LLAMA3_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))
        arguments = [
            "-m", "merrflow_serving", name, "--port", str(port),
            "--address-file", str(address_file), "--stop-with-stdin",
        ]  # fmt: skip
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches this process, which then drains the services
            )
        self._processes[name] = process
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while not address_file.exists():
            if process.returncode is not None or asyncio.get_running_loop().time() > deadline:
                raise NotReady(f"the embedded service {name} did not start: {_last_line(log)} (log: {log})")
            await asyncio.sleep(0.02)
        return address_file.read_text()

    async def _watch(self, name: str) -> None:
        port = int(self.addresses[name].rsplit(":", 1)[1])
        loop = asyncio.get_running_loop()
        quick = 0
        while quick < QUICK_DEATHS:
            started = loop.time()
            await self._processes[name].wait()
            quick = quick + 1 if loop.time() - started < LIVED_SECONDS else 0
            try:
                await self._start(name, port)
            except NotReady:
                await asyncio.sleep(1)


def embedded_engines(names: Iterable[str] = tuple(SERVICES)) -> dict[str, EngineInfo]:
    """What the engines that would be started here say of themselves, without starting any.

    Raises `MerrflowError` where one is not installed or its settings are wrong.
    """
    found = {}
    for name in names:
        spec = load_spec(name)
        found[name] = spec.make_engine(read_settings(spec)).info()
    return found


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), 20)
    except TimeoutError:
        process.kill()
        await process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote no log"

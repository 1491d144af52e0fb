"""The embedded services as local processes, for machines where nothing else runs.

They listen on free loopback ports and accept only calls with this process's token: other users of the machine reach
the ports too, but cannot read another user's environment. They end with this process, however it ends (their standard
input closes), and are restarted if they die during a run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from merrflow_serving.__main__ import load_spec, read_settings
from merrflow_serving.catalog import NEEDED, SERVICES
from merrflow_serving.credentials import BEARER
from merrflow_serving.engine import EngineInfo
from merrflow_serving.errors import NotReady

log = logging.getLogger(__name__)
START_SECONDS = 60.0
DEATHS_UNREADY = 20  # in a row, each before it was ready: then no clip is the cause
# If memory runs out, the kernel kills a service, which is restarted, rather than the run (man 5 proc).
OOM_SCORE = 500


class LocalServices:
    """An async context manager: starts the services, and drains and stops them."""

    def __init__(self, logs: Path, media_root: Path | None, names: Iterable[str] = NEEDED) -> None:
        """logs: folder for one log file per service. media_root: files below it may be sent as paths."""
        self._logs = logs
        self._names = tuple(names)
        self._media_root = media_root
        self._folder = tempfile.TemporaryDirectory(prefix="merrflow-")
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self.addresses: dict[str, str] = {}
        self._token = secrets.token_hex(32)

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

    @property
    def token(self) -> str:
        """What every client must send; see `RunSettings.for_embedded_services`."""
        return self._token

    @property
    def pids(self) -> list[int]:
        """Of the processes that were started last, one per service."""
        return [process.pid for process in self._processes.values()]

    async def _start(self, name: str, port: int) -> str:
        address_file = Path(self._folder.name) / name
        address_file.unlink(missing_ok=True)
        log = self._logs / f"{name}.log"
        environment = dict(os.environ)
        prefix = SERVICES[name].env_prefix
        if self._media_root:
            environment[f"{prefix}MEDIA_ROOTS"] = str(self._media_root)
        environment[f"{prefix}HOST"] = "127.0.0.1"
        for name_ in ("TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA", "TOKEN", "TOKEN_FILE"):  # of services that others reach
            environment.pop(prefix + name_, None)
        environment[f"{prefix}TOKEN"] = self._token  # not an argument: those are shown to everyone
        # All four share this machine; a language model on every core would only slow the others down.
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
        _offer_to_kernel(process.pid)
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while not address_file.exists():
            if process.returncode is not None or asyncio.get_running_loop().time() > deadline:
                await _stop(process)
                raise NotReady(f"the embedded service {name} did not start: {_last_line(log)} (log: {log})")
            await asyncio.sleep(0.02)
        return address_file.read_text()

    async def _watch(self, name: str) -> None:
        port = int(self.addresses[name].rsplit(":", 1)[1])
        unready = 0
        while unready < DEATHS_UNREADY:
            unready = 0 if await self._was_ready(name) else unready + 1
            try:
                await self._start(name, port)
            except NotReady as error:
                log.warning("%s", error)
                await asyncio.sleep(1)

    async def _was_ready(self, name: str) -> bool:
        """Returns once the service has died, with whether it ever served."""
        serving = asyncio.create_task(_serving(self.addresses[name], self._token))
        try:
            await self._processes[name].wait()
            return serving.done()
        finally:
            serving.cancel()


def embedded_engines(names: Iterable[str] = NEEDED) -> dict[str, EngineInfo]:
    """The info of each engine that would be started here. Starts none.

    Raises `MerrflowError` if one is not installed or its settings are wrong.
    """
    found = {}
    for name in names:
        spec = load_spec(name)
        found[name] = spec.make_engine(read_settings(spec)).info()
    return found


async def _serving(address: str, token: str) -> None:
    """Returns once the service reports SERVING."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 500)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while True:
            with suppress(grpc.aio.AioRpcError):
                asked = health_pb2.HealthCheckRequest()
                metadata = (("authorization", f"{BEARER}{token}"),)
                async for told in health.Watch(asked, wait_for_ready=True, metadata=metadata):
                    if told.status == health_pb2.HealthCheckResponse.SERVING:
                        return
            await asyncio.sleep(0.2)


def _offer_to_kernel(pid: int) -> None:
    with suppress(OSError, ValueError):  # on systems without it
        own = int(Path("/proc/self/oom_score_adj").read_text())
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(min(1000, own + OOM_SCORE)))


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    if process.stdin:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), 20)
    except TimeoutError:
        process.kill()
        await process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote no log"

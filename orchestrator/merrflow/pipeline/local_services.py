"""The embedded services as local processes, for machines where nothing else runs.

They listen on free loopback ports and accept only calls with this process's token: other users of the machine reach
the ports too, but cannot read another user's environment. They end with this process, however it ends (their standard
input closes), and are restarted if they die, while they start or later.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from merrflow.core.child_logs import last_words
from merrflow.core.errors import RunStopped, ungrouped, writing_outputs
from merrflow_serving.catalog import NEEDED, SERVICES
from merrflow_serving.credentials import BEARER
from merrflow_serving.errors import InvalidInput
from merrflow_serving.private_folder import remove_abandoned

T = TypeVar("T")
log = logging.getLogger(__name__)
START_SECONDS = 60.0  # until it listens
PAUSE_SECONDS = 1.0  # before the next start
STARTS = 5  # at first, of a service that dies before it listens
DEATHS_UNREADY = 20  # later, in a row, each before it was ready: then no clip is the cause
UNUSABLE = 2  # exit code of a service whose settings cannot be used; no further start would help
# If memory runs out, the kernel kills a service, which is restarted, rather than the run (man 5 proc).
OOM_SCORE = 500


class EmbeddedServiceDies(RunStopped):
    """An embedded service dies each time it is started."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "SERVICE_DIES"
    retryable = False


class _StartFailed(Exception):
    """One start came to nothing. `is_final`: so would every other."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


@dataclass(frozen=True)
class Local:
    """What one process runs."""

    role: str  # a service of the catalog
    engine: str = ""  # "" for the one that the environment says
    environment: Mapping[str, str] = field(default_factory=dict)  # beside this process's own


class LocalServices:
    """An async context manager: starts the services, and drains and stops them.

    Raises `InvalidInput` if a service's settings cannot be used, `EmbeddedServiceDies` if one dies at each start.
    """

    def __init__(
        self, logs: Path, media_root: Path | None, services: Iterable[str] | Mapping[str, Local] = NEEDED
    ) -> None:
        """logs: folder for a log file each. media_root: files below it may be sent as paths. services: names of the
        catalog; or any names, with what runs under each."""
        self._logs = logs
        self._services = services if isinstance(services, Mapping) else {name: Local(name) for name in services}
        self._media_root = media_root
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._log_starts: dict[str, int] = {}  # where in its log the lines of a service's last start begin
        self._watchers: list[asyncio.Task[None]] = []
        self.addresses: dict[str, str] = {}
        self._token = secrets.token_hex(32)

    async def __aenter__(self) -> LocalServices:
        with writing_outputs(self._logs):
            self._logs.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(remove_abandoned)  # what services of a killed run have left
        try:
            with ungrouped():
                async with asyncio.TaskGroup() as group:
                    starts = {name: group.create_task(self._first_start(name)) for name in self._services}
        except BaseException:
            await self.__aexit__()
            raise
        self.addresses = {name: start.result() for name, start in starts.items()}
        self._watchers = [asyncio.create_task(self._watch(name)) for name in self._services]
        return self

    async def __aexit__(self, *error: object) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        await asyncio.gather(*(_stop(process) for process in self._processes.values()))

    @property
    def token(self) -> str:
        """What every client must send; see `RunSettings.for_embedded_services`."""
        return self._token

    @property
    def pids(self) -> list[int]:
        """Of the processes that were started last, one per service."""
        return [process.pid for process in self._processes.values()]

    async def while_alive(self, work: Awaitable[T]) -> T:
        """The result of `work`. Raises `EmbeddedServiceDies` at once if a service has died too often meanwhile."""
        working = asyncio.ensure_future(work)
        try:
            await asyncio.wait([working, *self._watchers], return_when=asyncio.FIRST_COMPLETED)
            for watcher in self._watchers:
                if watcher.done():
                    watcher.result()
            return await working
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    async def _first_start(self, name: str) -> str:
        for number in range(1, STARTS + 1):
            try:
                return await self._start(name, port=0)
            except _StartFailed as failure:
                if failure.is_final:
                    raise InvalidInput(f"the embedded service {name} cannot start: {failure}") from None
                if number == STARTS:
                    raise EmbeddedServiceDies(
                        f"the embedded service {name} died at {STARTS} starts: {failure}"
                    ) from None
                log.warning("the embedded service %s died while starting, and is started again: %s", name, failure)
                await asyncio.sleep(PAUSE_SECONDS)
        raise AssertionError("the last try returns or raises")

    async def _start(self, name: str, port: int) -> str:
        """One start; returns the address once the service listens. Raises `_StartFailed`."""
        end, given = os.pipe()
        try:
            try:
                process = await self._spawn(name, port, given)
            finally:
                os.close(given)
        except OSError as error:  # no memory, no room for another process, or a full disk
            os.close(end)
            raise _StartFailed(f"no process can be started ({error})") from error
        self._processes[name] = process
        _offer_to_kernel(process.pid)
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(end, "rb")
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                address = (await reader.read()).decode(errors="replace")
        except TimeoutError:
            await _kill(process)
            raise _StartFailed(f"it did not listen within {START_SECONDS:.0f} s ({self._last_words(name)})") from None
        finally:
            transport.close()
        if not address:  # the pipe closed, because the process has ended
            await process.wait()
            raise _StartFailed(self._death(name), is_final=process.returncode == UNUSABLE and not port)
        return address

    async def _spawn(self, name: str, port: int, address_fd: int) -> asyncio.subprocess.Process:
        local = self._services[name]
        environment = {**os.environ, **local.environment}
        prefix = SERVICES[local.role].env_prefix
        if self._media_root:
            environment[f"{prefix}MEDIA_ROOTS"] = str(self._media_root)
        environment[f"{prefix}HOST"] = "127.0.0.1"
        for name_ in ("TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA", "TOKEN", "TOKEN_FILE"):  # of services that others reach
            environment.pop(prefix + name_, None)
        environment[f"{prefix}TOKEN"] = self._token  # not an argument: those are shown to everyone
        # The services share this machine; a language model on every core would only slow the others down.
        environment.setdefault("MERRFLOW_LLAMA3_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))
        arguments = [
            "-m", "merrflow_serving", local.role, "--port", str(port), "--address-fd", str(address_fd),
            "--stop-with-stdin", *(["--engine", local.engine] if local.engine else []),
        ]  # fmt: skip
        with self._log(name).open("ab") as output:
            self._log_starts[name] = output.tell()
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment,
                pass_fds=(address_fd,),
                start_new_session=True,  # Ctrl-C reaches this process, which then drains the services
            )

    async def _watch(self, name: str) -> None:
        """Starts a service again whenever it dies. Raises `EmbeddedServiceDies` if it does so again and again before
        it is ready."""
        port = int(self.addresses[name].rsplit(":", 1)[1])
        unready = 0
        while True:
            unready = 0 if await self._was_ready(name) else unready + 1
            if unready == DEATHS_UNREADY:
                why = f"the embedded service {name} died {unready} times before it was ready: {self._death(name)}"
                raise EmbeddedServiceDies(why)
            try:
                await self._start(name, port)
            except _StartFailed as failure:
                log.warning("the embedded service %s died while starting, and is started again: %s", name, failure)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _was_ready(self, name: str) -> bool:
        """Returns once the service has died, with whether it ever served."""
        serving = asyncio.create_task(_serving(self.addresses[name], self._token))
        try:
            await self._processes[name].wait()
            return serving.done()
        finally:
            serving.cancel()

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _death(self, name: str) -> str:
        """How the last process of a service ended, and what it said."""
        code = self._processes[name].returncode or 0
        how = f"exit code {code}"
        if code < 0:
            names = {known.value: known.name for known in signal.Signals}  # of real-time signals, most have none
            how = f"killed by {names.get(-code, f'signal {-code}')}"
            how += ", as the kernel does if memory runs out" if -code == signal.SIGKILL else ""
        return f"{how} ({self._last_words(name)})"

    def _last_words(self, name: str) -> str:
        return last_words(self._log(name), self._log_starts.get(name, 0))


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
        await _kill(process)


async def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()

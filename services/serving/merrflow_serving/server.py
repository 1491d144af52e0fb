"""A service's life: listen, load, warm up, serve, drain, stop."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow_serving.catalog import SERVICES
from merrflow_serving.credentials import health_socket, is_loopback, make_private, port_credentials, tokens_of
from merrflow_serving.errors import InvalidInput
from merrflow_serving.health_service import HealthService
from merrflow_serving.interceptor import Boundary
from merrflow_serving.limits import Gate
from merrflow_serving.parent import when_parent_ends
from merrflow_serving.service import Service, ServiceSpec
from merrflow_serving.settings import ServiceSettings

log = structlog.get_logger()
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
AGAIN_SECONDS = 60.0  # between attempts to load an engine whose problem may pass
LOADING_SECONDS = 3.0  # for which a stop waits for an engine that is still loading
# Calls that may wait for Python to take them, about 10 KiB each. gRPC cancels what is beyond it, unseen by the service;
# by its own default (`max_pending_requests`, 1000) it begins with some of 2,000 calls that come at once. A client that
# has as many on one connection keeps the rest back itself.
PENDING_CALLS = 8192
EXIT_LOST = 74  # exit code of a process whose device is gone (EX_IOERR), so that a supervisor starts another
S = TypeVar("S", bound=ServiceSettings)


class _Engine(common_pb2_grpc.EngineServicer):
    def __init__(self, service: Service[ServiceSettings]) -> None:
        self._service = service

    async def Info(self, request: common_pb2.InfoRequest, context: object) -> common_pb2.InfoResponse:  # noqa: N802
        return self._service.describe()


class Server:
    """A service on a port. `start`, then `stop`; or `serve` for a whole process."""

    def __init__(self, spec: ServiceSpec[S], settings: S, *, owns_process: bool = False) -> None:
        """owns_process: whether the process may be ended if the engine hangs.

        Raises `InvalidInput` if the tokens or certificates of the settings cannot be used.
        """
        self._credentials = port_credentials(settings)
        tokens = tokens_of(settings)
        self._is_open = not (tokens or settings.tls_client_ca or is_loopback(settings.host))
        service = Service(spec, settings, owns_process=owns_process)
        self.service: Service[ServiceSettings] = service
        self._health = HealthService()
        self._names = ("", spec.proto, common_pb2.DESCRIPTOR.services_by_name["Engine"].full_name)
        self._server = grpc.aio.server(
            interceptors=[Boundary(service.metrics, tokens, Gate(settings), Gate(settings), service.plugin)],
            options=[
                ("grpc.max_receive_message_length", settings.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", PENDING_CALLS),
                ("grpc.server.max_pending_requests", PENDING_CALLS),
                ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS),
                ("grpc.so_reuseport", 0),  # a port in use is an error, not a silent share
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                # Whoever connects and sends nothing is disconnected.
                ("grpc.server_handshake_timeout_ms", int(settings.idle_seconds * 1000)),
            ],
        )
        spec.register(service, self._server)
        self.service.metrics.expect(spec.proto)
        common_pb2_grpc.add_EngineServicer_to_server(_Engine(self.service), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if settings.reflection:
            names = (*self._names[1:], health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        self.address = ""
        self._warm_up: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()  # set once the engine was loaded, or could not be
        self._ending = asyncio.Event()
        self.abandoned = False  # set by `stop` if the engine did not end in time: only the end of the process frees it
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens at once and loads in the background. Raises `InvalidInput` if the port is in use."""
        settings = self.service.settings
        wanted = SERVICES[self.service.spec.name].port if settings.port is None else settings.port
        self._set_health(NOT_SERVING)
        # Info answers before the model is loaded: a liveness probe asks for this name, and lets the service load.
        self._health.set(self._names[2], SERVING)
        try:
            port = self._listen(f"{settings.host}:{wanted}")
        except RuntimeError as error:
            raise InvalidInput(
                f"cannot listen on {settings.host}:{wanted}: the port is in use or not allowed; choose "
                f"another with {settings.variable('PORT')} or --port (0 takes a free one)"
            ) from error
        if self._credentials:
            self._listen_to_health_check(health_socket(self.service.spec.name, wanted))
        if settings.metrics_port:
            try:
                self.service.metrics.serve(settings.metrics_host, settings.metrics_port)
            except OSError as error:
                raise InvalidInput(f"cannot open the metrics page on port {settings.metrics_port}: {error}") from error
        self.address = f"{settings.host}:{port}"
        await self._server.start()
        if self._is_open:
            log.warning(
                "anyone who reaches this address may call: no token, no client certificates (docs/security.md)",
                address=self.address,
            )
        self._warm_up = asyncio.create_task(self._become_ready())

    def _listen(self, address: str) -> int:
        if self._credentials:
            return self._server.add_secure_port(address, self._credentials)
        return self._server.add_insecure_port(address)

    def _listen_to_health_check(self, socket: Path) -> None:
        make_private(socket.parent)
        try:
            self._server.add_insecure_port(f"unix:{socket}")
        except RuntimeError as error:
            raise InvalidInput(f"cannot listen on {socket} for health checks; set TMPDIR to a short path") from error

    async def wait_ready(self) -> None:
        """Returns once the service is SERVING or has a problem."""
        if self._warm_up:
            await self._tried.wait()

    @property
    def has_loaded(self) -> bool:
        """Whether the engine is loaded, or could not be."""
        return self._warm_up is not None and self._warm_up.done()

    async def stop(self) -> None:
        """Sets NOT_SERVING, finishes what is in flight, closes the engine. A second call waits for the first."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await self._stopping

    async def _stop(self) -> None:
        self._ending.set()
        self._set_health(NOT_SERVING)
        self._health.end()
        self.service.refuse_new_work()
        await self._server.stop(self.service.settings.drain_seconds)
        self.service.interrupt()
        if self._warm_up:  # the engine cannot be closed in the middle of loading, which may be an hour's download
            _, loading = await asyncio.wait([self._warm_up], timeout=LOADING_SECONDS)
            if loading:
                self.abandoned = True
                return
        self.abandoned = not await self.service.close()

    async def give_up(self) -> None:
        """Sets NOT_SERVING and gives answers that are being sent a moment. The engine is left as it is."""
        self._set_health(NOT_SERVING)
        self._health.end()
        self.service.refuse_new_work()
        await self._server.stop(1.0)

    async def _become_ready(self) -> None:
        try:
            await self.service.warm_up()
            while self.service.may_pass and not self._ending.is_set():
                self._tried.set()
                self.service.now_doing(f"waiting to try again, as every {AGAIN_SECONDS:.0f} s")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), AGAIN_SECONDS)
                    return
                await self.service.warm_up()
            if self.service.ready:
                self._set_health(SERVING)
                log.info("serving", address=self.address, engine=self.service.info.engine)
        finally:
            self._tried.set()

    def _set_health(self, status: int) -> None:
        for name in self._names:
            self._health.set(name, status)


async def serve(
    spec: ServiceSpec[S],
    settings: S,
    *,
    address_file: Path | None = None,
    address_fd: int | None = None,
    stop_with_stdin: bool = False,
) -> None:
    """Runs a service until SIGTERM or SIGINT, until standard input ends, or until its device is lost (exit code 74).

    If the engine is still loading when the service is to stop, the process ends at once: what was downloaded is kept.

    address_file: where to write "host:port" once the service listens, for the process that started it.
    address_fd: the same through an open file descriptor, which is closed then: a pipe leaves no file behind.
    stop_with_stdin: end when standard input closes, so that no service outlives the process that started it, however
    that process ended.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if stop_with_stdin:
        when_parent_ends(lambda: loop.call_soon_threadsafe(stop.set))
    server = Server(spec, settings, owns_process=True)
    await server.start()
    shown = settings.model_dump(mode="json")
    log.info("listening", service=spec.name, version=spec.version, address=server.address, settings=shown)
    if address_file:
        partial = address_file.with_suffix(".part")
        partial.write_text(server.address)
        os.replace(partial, address_file)
    if address_fd is not None:
        with suppress(BrokenPipeError):  # nobody reads it any more: the parent is gone
            os.write(address_fd, server.address.encode())
        os.close(address_fd)
    if await _first(stop, server.service.lost) is server.service.lost:
        log.error("the engine is lost; this process ends", problem=server.service.problem)
        await server.give_up()
        os._exit(EXIT_LOST)  # not sys.exit: something may wait for the device for ever
    log.info("draining")
    await server.stop()
    if server.abandoned:
        log.info(f"ends while its engine is still {'at work' if server.has_loaded else 'loading'}")
        os._exit(0)


async def _first(*events: asyncio.Event) -> asyncio.Event:
    """The first of the events that is set."""
    waits = {asyncio.create_task(event.wait()): event for event in events}
    done, others = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    return waits[done.pop()]

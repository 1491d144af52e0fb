"""gRPC's health service. grpcio-health-checking has one too, but there a watcher that reads nothing holds the lock that
a change of status waits for, so a single client could keep a service from serving, or from ending."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    _Context = grpc.aio.ServicerContext[Any, Any]

UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # its stubs come without this module
    """The status of each name, for clients that check or watch (github.com/grpc/grpc, doc/health-checking.md).

    A status is a number of `HealthCheckResponse.ServingStatus`.
    """

    def __init__(self) -> None:
        self._status: dict[str, int] = {}
        self._changed = asyncio.Event()  # replaced at each change
        self._is_ending = False

    def set(self, name: str, status: int) -> None:
        """Waits for nobody; a slow watcher sees only the last of several changes."""
        self._status[name] = status
        self._wake()

    def end(self) -> None:
        """Ends the calls of all watchers once they have the last status, so that none keeps the server from ending."""
        self._is_ending = True
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> health_pb2.HealthCheckResponse:
        status = self._status.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: _Context) -> None:  # noqa: N802
        sent = None
        while True:
            changed, is_ending = self._changed, self._is_ending
            status = self._status.get(request.service, UNKNOWN)
            if status != sent:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                sent = status
            elif is_ending:
                return
            else:
                await changed.wait()

"""gRPC's health service. grpcio-health-checking has one too; there a watcher that reads nothing keeps the lock that a
change of the status waits for, so one client could keep a service from serving, or from ending."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Status = health_pb2.HealthCheckResponse.ServingStatus
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthService(health_pb2_grpc.HealthServicer):
    """The status of each name, for whoever asks or watches (github.com/grpc/grpc, doc/health-checking.md)."""

    def __init__(self) -> None:
        self._status: dict[str, Status] = {}
        self._changed = asyncio.Event()  # another one after each change
        self._is_ending = False

    def set(self, name: str, status: Status) -> None:
        """Waits for nobody; a slow watcher sees the last of several changes."""
        self._status[name] = status
        self._wake()

    def end(self) -> None:
        """Watchers hear the last status, and that is all: none of them keeps the server from its end."""
        self._is_ending = True
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        status = self._status.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> None:
        told = None
        while True:
            changed, is_ending = self._changed, self._is_ending
            status = self._status.get(request.service, UNKNOWN)
            if status != told:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status
            elif is_ending:
                return
            else:
                await changed.wait()

"""Around every RPC: errors become gRPC statuses, requests are counted, one log line tells the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars

from merrflow_serving.errors import EngineFault, MerrflowError
from merrflow_serving.metrics import Metrics

log = structlog.get_logger()


class Boundary(grpc.aio.ServerInterceptor):
    """Maps `MerrflowError` to its status with a machine-readable reason; any other exception is INTERNAL.

    Only RPCs of merrflow's own services pass through it; health and reflection stay as they are.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        handler = await continuation(details)
        if handler is None or not details.method.startswith("/merrflow."):
            return handler
        rpc = details.method.rsplit("/", 1)[-1]
        if handler.unary_unary:
            return handler._replace(unary_unary=self._guard(handler.unary_unary, rpc))
        return handler._replace(stream_unary=self._guard(handler.stream_unary, rpc))

    def _guard(self, call: Callable[..., Awaitable[Any]], rpc: str) -> Callable[..., Awaitable[Any]]:
        async def guarded(request: Any, context: grpc.aio.ServicerContext) -> Any:
            clear_contextvars()
            bind_contextvars(rpc=rpc, clip=getattr(request, "clip", ""))
            started = time.monotonic()
            code, reason = grpc.StatusCode.OK, ""
            self._metrics.begin(rpc)
            try:
                return await call(request, context)
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED
                raise
            except Exception as error:
                if not isinstance(error, MerrflowError):
                    log.exception("unexpected error")
                    error = EngineFault("internal error; the service's log has the details")
                code, reason = error.code, error.reason
                bind_contextvars(reason=reason, error=str(error))
                status = error.to_status()
                await context.abort(status.code, status.details, status.trailing_metadata)
            finally:
                seconds = time.monotonic() - started
                self._metrics.end(rpc, code.name, reason, seconds)
                if rpc != "Info":
                    log.info("request", code=code.name, seconds=round(seconds, 4))

        return guarded

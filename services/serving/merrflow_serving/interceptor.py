"""Around every RPC: who may call, errors become gRPC statuses, requests are counted, and each is logged in one line."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars

from merrflow_serving.credentials import Tokens
from merrflow_serving.errors import EngineFault, InvalidInput, MerrflowError, Unauthenticated
from merrflow_serving.limits import Gate
from merrflow_serving.metrics import Metrics

if TYPE_CHECKING:  # grpc's own classes cannot be subscripted
    _Interceptor = grpc.aio.ServerInterceptor[Any, Any]
    _Handler = grpc.RpcMethodHandler[Any, Any]
    _Context = grpc.aio.ServicerContext[Any, Any]
else:
    _Interceptor = grpc.aio.ServerInterceptor

log = structlog.get_logger()
# Reports SERVING or not and nothing else, so it needs no token: Kubernetes' own gRPC probes cannot send one.
WITHOUT_TOKEN = "/grpc.health.v1.Health/Check"


class Boundary(_Interceptor):
    """Refuses calls without a token before any of their messages is read. Maps `MerrflowError` to its status with a
    machine-readable reason; any other exception is INTERNAL.

    Only merrflow's own services are counted and logged. Health and reflection have limits of their own, so that
    callers of these take no capacity from the others.
    """

    def __init__(self, metrics: Metrics, tokens: Tokens, gate: Gate, probe_gate: Gate, plugin: str = "") -> None:
        """probe_gate: for health and reflection. plugin: what adds the engine, if another distribution does."""
        self._metrics = metrics
        self._tokens = tokens
        self._gate = gate
        self._probe_gate = probe_gate
        self._with = f" with {plugin}" if plugin else ""

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]], details: grpc.HandlerCallDetails
    ) -> _Handler:
        handler = await continuation(details)
        if handler is None:
            return handler
        rpc = details.method.rsplit("/", 1)[-1]
        own = details.method.startswith("/merrflow.")
        if details.method != WITHOUT_TOKEN and not self._tokens.admits(details.invocation_metadata):
            return grpc.stream_stream_rpc_method_handler(self._refuse(rpc if own else ""))
        if not own:
            return grpc.stream_stream_rpc_method_handler(
                self._bound(handler, rpc), handler.request_deserializer, handler.response_serializer
            )
        # On the wire a call with one message is a stream of one. Read as a stream, it gets a time limit too.
        return grpc.stream_unary_rpc_method_handler(
            self._guard(handler, rpc), handler.request_deserializer, handler.response_serializer
        )

    def _refuse(self, rpc: str) -> Callable[..., Awaitable[None]]:
        async def refused(requests: Any, context: _Context) -> None:
            error = Unauthenticated("this service takes calls with its token only: authorization: Bearer TOKEN")
            if rpc:
                self._metrics.begin(rpc)
                self._metrics.end(rpc, error.code.name, error.reason, 0.0)
            log.warning("refused", rpc=rpc, peer=context.peer(), reason=error.reason)
            status = error.to_status()
            await context.abort(status.code, status.details, status.trailing_metadata)

        return refused

    def _bound(self, handler: _Handler, rpc: str) -> Callable[..., Awaitable[None]]:
        """Limits health and reflection, whatever kind of call: how many at once, and how long a request may take."""
        # The stubs have handlers of the blocking API only.
        method: Any = handler.unary_unary or handler.unary_stream or handler.stream_stream

        async def bound(requests: Any, context: _Context) -> None:
            try:
                with self._probe_gate.enter(context.peer(), rpc) as visit:
                    parts = visit.arriving(requests)
                    request = parts if handler.request_streaming else await anext(parts, None)
                    if request is None:
                        raise InvalidInput("the call has no request")
                    answers = method(request, context)
                    if inspect.isasyncgen(answers):
                        async for answer in answers:
                            await context.write(answer)
                    elif (answer := await answers) is not None:  # otherwise it has written its answers itself
                        await context.write(answer)
            except MerrflowError as error:
                status = error.to_status()
                await context.abort(status.code, status.details, status.trailing_metadata)

        return bound

    def _guard(self, handler: _Handler, rpc: str) -> Callable[..., Awaitable[Any]]:
        stream_method: Any = handler.stream_unary
        method: Any = handler.unary_unary

        async def guarded(requests: Any, context: _Context) -> Any:
            clear_contextvars()
            bind_contextvars(rpc=rpc, clip="")
            started = time.monotonic()
            code, reason = grpc.StatusCode.OK, ""
            self._metrics.begin(rpc)
            try:
                with self._gate.enter(context.peer(), rpc) as visit:
                    parts = visit.arriving(requests)
                    if stream_method:
                        return await stream_method(parts, context)
                    request = await anext(parts, None)
                    if request is None:
                        raise InvalidInput("the call has no request")
                    bind_contextvars(clip=getattr(request, "clip", ""))
                    return await method(request, context)
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED
                raise
            except Exception as error:
                if not isinstance(error, MerrflowError):
                    log.exception("unexpected error")
                    error = EngineFault(f"internal error{self._with}; the service's log has the details")
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

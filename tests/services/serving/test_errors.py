"""What clients make of the errors they receive."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio

from merrflow_serving.errors import MerrflowError, QueueFull, StreamEnded, from_rpc_error

CALLS = 300


async def _refuse(parts, context):
    """Ends the request in its middle, as a full service does."""
    async for _ in parts:
        await context.abort_with_status(QueueFull("too many wait").to_status())


async def _sent(channel: grpc.aio.Channel, size: int) -> MerrflowError:
    async def parts():
        for _ in range(20):
            await asyncio.sleep(0)
            yield bytes(size)

    try:
        await channel.stream_unary("/toy.Toy/Take")(parts())
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    raise AssertionError("the call was answered")


async def test_a_refusal_while_a_request_is_sent_can_be_retried():
    server = grpc.aio.server()
    handlers = {"Take": grpc.stream_unary_rpc_method_handler(_refuse)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("toy.Toy", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        errors = [await _sent(channel, 1000 * (i % 100)) for i in range(CALLS)]
    await server.stop(None)
    assert {error.reason for error in errors} <= {QueueFull.reason, StreamEnded.reason}
    assert all(error.retryable for error in errors)

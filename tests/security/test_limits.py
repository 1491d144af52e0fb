"""What one client can take of a service, and how long it may dawdle."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest

from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow.qwen_audio.v1 import qwen_audio_pb2 as pb
from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc as pb_grpc
from merrflow_serving.errors import from_rpc_error
from merrflow_serving.limits import client_of
from tests.services.serving.toy import ToyEngine

MIB = 1 << 20


def request(data: bytes) -> pb.DescribeRequest:
    return pb.DescribeRequest(audio=common_pb2.Media(data=data))


async def failure(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = from_rpc_error(caught.value)
    return error.code, error.reason


async def info(channel) -> str:
    return (await common_pb2_grpc.EngineStub(channel).Info(common_pb2.InfoRequest())).service


async def test_one_clients_requests_are_counted_over_all_its_connections(start):
    server = await start(max_client_requests=3)
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with (
        grpc.aio.insecure_channel(server.address, options=options) as one,
        grpc.aio.insecure_channel(server.address, options=options) as other,
    ):
        stubs = [pb_grpc.ToneDescriberStub(channel) for channel in (one, other)]
        held = [asyncio.ensure_future(stubs[i % 2].Describe(request(b"hold"))) for i in range(3)]
        await asyncio.sleep(0.2)
        refused = (grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT_LIMIT")
        assert await failure(stubs[0].Describe(request(b"more"))) == refused
        assert await failure(stubs[1].DescribeStream(iter(()))) == refused
        ToyEngine.hold.set()
        assert [reply.text for reply in await asyncio.gather(*held)] == ["HOLD"] * 3
        assert (await stubs[0].Describe(request(b"again"))).text == "AGAIN"  # the count goes down again


async def test_another_machine_is_not_refused_for_it(start):
    server = await start(max_client_requests=1, host="0.0.0.0")
    port = server.address.rsplit(":", 1)[1]
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as here,
        grpc.aio.insecure_channel(f"[::ffff:127.0.0.1]:{port}") as same,
        grpc.aio.insecure_channel(f"{_own_address()}:{port}") as there,
    ):
        held = asyncio.ensure_future(pb_grpc.ToneDescriberStub(here).Describe(request(b"hold")))
        await asyncio.sleep(0.2)
        assert (await failure(info_call(same)))[1] == "CLIENT_LIMIT"
        assert await info(there) == "qwen-audio"
        ToyEngine.hold.set()
        await held


def info_call(channel):
    return common_pb2_grpc.EngineStub(channel).Info(common_pb2.InfoRequest())


def _own_address() -> str:
    """An address of this machine that is not loopback."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # sends nothing
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        return probe.getsockname()[0]


def test_whose_limit_counts():
    assert client_of("ipv4:10.0.0.7:5000") == client_of("ipv4:10.0.0.7:6000") == "ipv4:10.0.0.7"
    assert client_of("ipv6:%5B2001:db8::1%5D:5000") == "ipv6:%5B2001:db8::1%5D"
    assert client_of("unix:") == "unix:"


async def test_what_all_requests_hold_is_bounded(start):
    server = await start(max_held_mib=2)
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(server.address, options=options) as channel:
        stub = pb_grpc.ToneDescriberStub(channel)
        held = asyncio.ensure_future(stub.Describe(request(b"hold")))
        await asyncio.sleep(0.2)

        def parts():
            yield pb.DescribeStreamRequest(request=pb.DescribeRequest())
            for _ in range(5):
                yield pb.DescribeStreamRequest(chunk=b"a" * (MIB // 2))

        full = (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        assert await failure(stub.Describe(request(b"a" * 3 * MIB))) == full
        assert await failure(stub.DescribeStream(parts())) == full
        ToyEngine.hold.set()
        await held
        # Alone, a request is bounded by its own limits only, or it could never be answered.
        assert len((await stub.Describe(request(b"a" * 3 * MIB))).text) == 3 * MIB
        assert (
            server.service.metrics.registry.get_sample_value(
                "merrflow_requests_in_flight", {"service": "qwen-audio", "rpc": "Describe"}
            )
            == 0
        )


async def test_a_message_above_the_limit_is_refused(start):
    server = await start(max_message_mib=1)
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = pb_grpc.ToneDescriberStub(channel).Describe(request(b"a" * 2 * MIB))
        assert (await failure(call))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_media_above_the_limit_are_refused(start, tmp_path):
    server = await start(max_media_mib=1, media_roots=[tmp_path])
    (tmp_path / "large.wav").write_bytes(b"a" * (MIB + 1))

    def parts():
        yield pb.DescribeStreamRequest(request=pb.DescribeRequest())
        for _ in range(5):
            yield pb.DescribeStreamRequest(chunk=b"a" * (MIB // 2))

    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = pb_grpc.ToneDescriberStub(channel)
        by_path = pb.DescribeRequest(audio=common_pb2.Media(path=str(tmp_path / "large.wav")))
        for call in (stub.Describe(request(b"a" * (MIB + 1))), stub.DescribeStream(parts()), stub.Describe(by_path)):
            assert await failure(call) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_LARGE")


class Dawdling:
    """Messages with pauses between them."""

    def __init__(self, pause: float, count: int) -> None:
        self.pause, self.count = pause, count

    async def __aiter__(self):
        yield pb.DescribeStreamRequest(request=pb.DescribeRequest())
        for _ in range(self.count):
            await asyncio.sleep(self.pause)
            yield pb.DescribeStreamRequest(chunk=b"a")


@pytest.mark.parametrize(
    ("limits", "pause"),
    [({"idle_seconds": 0.3}, 5.0), ({"idle_seconds": 1.0, "receive_seconds": 0.5}, 0.15)],
    ids=["one long pause", "many short ones"],
)
async def test_a_stream_that_dawdles_is_ended(start, limits, pause):
    server = await start(**limits)
    async with grpc.aio.insecure_channel(server.address) as channel:
        began = time.monotonic()
        call = pb_grpc.ToneDescriberStub(channel).DescribeStream(aiter(Dawdling(pause, 100)))
        assert await failure(call) == (grpc.StatusCode.DEADLINE_EXCEEDED, "REQUEST_TOO_SLOW")
        assert time.monotonic() - began < 3
        assert await info(channel) == "qwen-audio"


async def test_a_call_whose_message_never_comes_is_ended(start):
    server = await start(idle_seconds=0.3)
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = channel.stream_unary(
            "/merrflow.qwen_audio.v1.ToneDescriber/Describe", request_serializer=bytes, response_deserializer=bytes
        )

        async def nothing():
            await asyncio.sleep(5)
            yield b""

        assert await failure(call(nothing())) == (grpc.StatusCode.DEADLINE_EXCEEDED, "REQUEST_TOO_SLOW")


async def test_a_connection_that_says_nothing_is_closed(start):
    server = await start(idle_seconds=1.0)
    host, port = server.address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(5):
        while await reader.read(1000):  # the server's own greeting, and then the end
            pass
    writer.close()


@pytest.mark.parametrize("path", ["Describe", "DescribeStream"])
async def test_bytes_that_are_no_message_are_the_callers_fault(start, path):
    server = await start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = channel.unary_unary(
            f"/merrflow.qwen_audio.v1.ToneDescriber/{path}", request_serializer=bytes, response_deserializer=bytes
        )
        assert await failure(call(b"\xff\xff\xff")) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")


async def test_a_call_without_a_message_is_the_callers_fault(start):
    server = await start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = channel.stream_unary(
            "/merrflow.qwen_audio.v1.ToneDescriber/Describe", request_serializer=bytes, response_deserializer=bytes
        )
        assert await failure(call(iter(()))) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")

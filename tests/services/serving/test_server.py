"""The life of a service and its error mapping, through real gRPC."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import generate_latest

from merrflow.common.v1 import common_pb2 as common
from merrflow.common.v1 import common_pb2_grpc
from merrflow.qwen_audio.v1 import qwen_audio_pb2 as pb
from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc as pb_grpc
from merrflow_serving.errors import InvalidInput, from_rpc_error
from merrflow_serving.server import EXIT_LOST, Server
from merrflow_serving.settings import ServiceSettings
from tests.services.serving.toy import SPEC, ToyEngine


@pytest.fixture(autouse=True)
def _fresh_engine():
    ToyEngine.hold.clear()
    ToyEngine.missing_weights = False
    ToyEngine.batches = []
    yield
    ToyEngine.hold.set()


@asynccontextmanager
async def running(wait: bool = True, **settings):
    server = Server(SPEC, ServiceSettings(port=0, drain_seconds=5, **settings))
    await server.start()
    if wait:
        await server.wait_ready()
    async with grpc.aio.insecure_channel(server.address) as channel:
        try:
            yield server, channel
        finally:
            ToyEngine.hold.set()
            await server.stop()


def request(data: bytes, clip: str = "clip") -> pb.DescribeRequest:
    return pb.DescribeRequest(clip=clip, audio=common.Media(data=data))


async def failure(call) -> tuple[grpc.StatusCode, str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = from_rpc_error(caught.value)
    return error.code, error.reason, str(error)


async def test_answers_with_timing_and_engine():
    async with running() as (_, channel):
        reply = await pb_grpc.ToneDescriberStub(channel).Describe(request(b"hello"))
    assert reply.text == "HELLO"
    assert reply.timing.batch_size == 1
    assert reply.timing.model_seconds > 0
    assert reply.engine.engine == "toy"
    assert ToyEngine.batches[0] == [b"warm"], "warm-up goes through the engine before any request"


async def test_health_follows_warm_up_and_draining():
    async with running() as (server, channel):
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SPEC.proto, "merrflow.common.v1.Engine"):
            reply = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        stub = pb_grpc.ToneDescriberStub(channel)
        in_flight = asyncio.ensure_future(stub.Describe(request(b"hold")))
        while [b"hold"] not in ToyEngine.batches:
            await asyncio.sleep(0.01)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        statuses = [(await watch.read()).status]
        stopping = asyncio.create_task(server.stop())
        statuses.append((await watch.read()).status)
        assert statuses == [
            health_pb2.HealthCheckResponse.SERVING,
            health_pb2.HealthCheckResponse.NOT_SERVING,
        ]
        watch.cancel()
        ToyEngine.hold.set()
        assert (await in_flight).text == "HOLD", "work in flight is finished while draining"
        await stopping


async def test_missing_weights_leave_the_service_up_and_saying_why():
    ToyEngine.missing_weights = True
    async with running() as (_, channel):
        status = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert status.status == health_pb2.HealthCheckResponse.NOT_SERVING
        info = await common_pb2_grpc.EngineStub(channel).Info(common.InfoRequest())
        assert (info.ready, info.problem) == (False, "toy.bin is missing: pip install toy-model")
        code, reason, message = await failure(pb_grpc.ToneDescriberStub(channel).Describe(request(b"x")))
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_READY")
        assert "pip install toy-model" in message


@pytest.mark.parametrize(
    ("media", "code", "reason"),
    [
        (common.Media(data=b"bad"), grpc.StatusCode.INVALID_ARGUMENT, "MEDIA_UNREADABLE"),
        (common.Media(), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT"),
        (common.Media(path="/etc/passwd"), grpc.StatusCode.INVALID_ARGUMENT, "PATH_REFUSED"),
        (common.Media(data=b"x" * (1 << 20) + b"y"), grpc.StatusCode.INVALID_ARGUMENT, "TOO_LARGE"),
        (common.Media(data=b"fault"), grpc.StatusCode.INTERNAL, "ENGINE_FAULT"),
    ],
)
async def test_errors_carry_code_and_reason(media, code, reason):
    async with running(max_media_mib=1) as (_, channel):
        stub = pb_grpc.ToneDescriberStub(channel)
        found = await failure(stub.Describe(pb.DescribeRequest(audio=media)))
        assert found[:2] == (code, reason)
        assert (await stub.Describe(request(b"still here"))).text == "STILL HERE"


async def test_paths_only_below_the_media_roots(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "a clip 片.wav").write_bytes(b"inside")
    (outside / "b.wav").write_bytes(b"secret")
    (root / "link.wav").symlink_to(outside / "b.wav")
    os.mkfifo(root / "pipe")
    async with running(media_roots=str(root)) as (_, channel):
        stub = pb_grpc.ToneDescriberStub(channel)

        def ask(path):
            return stub.Describe(pb.DescribeRequest(audio=common.Media(path=str(path))))

        assert (await ask(root / "a clip 片.wav")).text == "INSIDE"
        for path in (
            outside / "b.wav",
            root / "link.wav",
            f"{root}/../outside/b.wav",
            root / "pipe",
            root,
            root / "none",
        ):
            assert (await failure(ask(path)))[1] == "PATH_REFUSED", path


async def test_one_bad_item_hurts_no_neighbour():
    async with running(max_delay_ms=200) as (_, channel):
        stub = pb_grpc.ToneDescriberStub(channel)
        replies = await asyncio.gather(
            *(stub.Describe(request(data)) for data in (b"a", b"fault", b"bad", b"b")), return_exceptions=True
        )
    assert [replies[0].text, replies[3].text] == ["A", "B"]
    assert replies[1].code() == grpc.StatusCode.INTERNAL
    assert replies[2].code() == grpc.StatusCode.INVALID_ARGUMENT
    assert max(map(len, ToyEngine.batches)) == 4


async def test_a_lost_device_fails_its_batch_once_and_nothing_more_is_accepted():
    async with running(max_delay_ms=50) as (server, channel):
        stub = pb_grpc.ToneDescriberStub(channel)
        calls = [stub.Describe(pb.DescribeRequest(audio={"data": data})) for data in (b"lost", b"a", b"b")]
        told = [from_rpc_error(error) for error in await asyncio.gather(*calls, return_exceptions=True)]
        assert [(error.code, error.reason) for error in told] == [(grpc.StatusCode.UNAVAILABLE, "DEVICE_LOST")] * 3
        batches = [sorted(batch) for batch in ToyEngine.batches if b"lost" in batch]
        assert batches == [[b"a", b"b", b"lost"]], "not run again, one by one"
        await asyncio.wait_for(server.service.lost.wait(), 5)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Describe(pb.DescribeRequest(audio={"data": b"more"}))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        info = await common_pb2_grpc.EngineStub(channel).Info(common.InfoRequest())
        assert not info.ready and "cannot be used any more" in info.problem


async def test_a_lost_device_ends_the_process(tmp_path):
    address = tmp_path / "address"
    code = (
        "import asyncio, sys, pathlib\n"
        "from merrflow_serving.server import serve\n"
        "from tests.services.serving.toy import SPEC\n"
        "asyncio.run(serve(SPEC, SPEC.settings(port=0), address_file=pathlib.Path(sys.argv[1])))\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(address), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(60):
            while not address.exists():
                await asyncio.sleep(0.05)
            async with grpc.aio.insecure_channel(address.read_text()) as channel:
                health = health_pb2_grpc.HealthStub(channel)
                while (await health.Check(health_pb2.HealthCheckRequest())).status != 1:
                    await asyncio.sleep(0.05)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await pb_grpc.ToneDescriberStub(channel).Describe(pb.DescribeRequest(audio={"data": b"lost"}))
                assert from_rpc_error(caught.value).reason == "DEVICE_LOST"
            assert await process.wait() == EXIT_LOST
    finally:
        if process.returncode is None:
            process.kill()


async def test_info_reports_the_memory_of_the_device():
    async with running() as (_, channel):
        info = await common_pb2_grpc.EngineStub(channel).Info(common.InfoRequest())
        assert (info.memory.used_bytes, info.memory.total_bytes, info.memory.peak_bytes) == (3, 10, 5)


async def test_full_queue_is_refused_and_gone_callers_cost_nothing():
    async with running(max_queue=2) as (_, channel):
        stub = pb_grpc.ToneDescriberStub(channel)
        held = asyncio.ensure_future(stub.Describe(request(b"hold")))
        while [b"hold"] not in ToyEngine.batches:
            await asyncio.sleep(0.01)
        gone = asyncio.ensure_future(stub.Describe(request(b"gone")))
        waits = asyncio.ensure_future(stub.Describe(request(b"waits")))
        await asyncio.sleep(0.1)
        assert (await failure(stub.Describe(request(b"late"))))[:2] == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "QUEUE_FULL",
        )
        gone.cancel()
        await asyncio.sleep(0.1)
        ToyEngine.hold.set()
        assert (await waits).text == "WAITS"
        await held
    assert all(b"gone" not in batch for batch in ToyEngine.batches)


async def test_streamed_media():
    async def parts():
        yield pb.DescribeStreamRequest(request=pb.DescribeRequest(clip="long"))
        for _ in range(3):
            yield pb.DescribeStreamRequest(chunk=b"ab")

    async def wrong_order():
        yield pb.DescribeStreamRequest(chunk=b"ab")

    async with running() as (_, channel):
        stub = pb_grpc.ToneDescriberStub(channel)
        assert (await stub.DescribeStream(parts())).response.text == "ABABAB"
        assert (await failure(stub.DescribeStream(wrong_order())))[0] == grpc.StatusCode.INVALID_ARGUMENT


async def test_reflection_lists_the_services():
    async with running() as (_, channel):
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        async for reply in call:
            names = {service.name for service in reply.list_services_response.service}
    assert {SPEC.proto, "merrflow.common.v1.Engine", "grpc.health.v1.Health"} <= names


async def test_metrics_count_requests_batches_and_outcomes():
    async with running() as (server, channel):
        stub = pb_grpc.ToneDescriberStub(channel)
        await stub.Describe(request(b"x"))
        await failure(stub.Describe(request(b"bad")))
        page = generate_latest(server.service.metrics.registry).decode()
    assert 'merrflow_requests_total{code="OK",reason="",rpc="Describe",service="qwen-audio"} 1.0' in page
    labels = 'code="INVALID_ARGUMENT",reason="MEDIA_UNREADABLE",rpc="Describe",service="qwen-audio"'
    assert f"merrflow_requests_total{{{labels}}} 1.0" in page
    assert 'merrflow_batch_size_count{service="qwen-audio"} 2.0' in page


async def test_port_in_use_says_what_to_do():
    async with running() as (server, _):
        port = int(server.address.rsplit(":", 1)[1])
        second = Server(SPEC, ServiceSettings(port=port))
        with pytest.raises(InvalidInput, match="in use"):
            await second.start()


def test_unknown_service_and_bad_setting_exit_with_one_line():
    for arguments, variables, word in (
        (["nope"], {}, "not installed"),
        (["openface-au"], {"MERRFLOW_OPENFACE_AU_PORT": "many"}, "MERRFLOW_OPENFACE_AU_PORT"),
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "merrflow_serving", *arguments],
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 2
        assert word in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1

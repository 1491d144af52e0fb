"""Long names, paths and messages: shortened for the client and for the log."""

from __future__ import annotations

import io
import json
import time
from contextlib import redirect_stderr
from dataclasses import replace

import grpc
import pytest
import structlog

from merrflow.common.v1 import common_pb2
from merrflow.qwen_audio.v1 import qwen_audio_pb2 as pb
from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc as pb_grpc
from merrflow_serving import logs
from merrflow_serving.errors import from_rpc_error
from merrflow_serving.server import Server
from merrflow_serving.settings import ServiceSettings
from tests.services.serving.toy import SPEC, ToyEngine


class Talkative(ToyEngine):
    """Breaks with what it is given as the error's text."""

    def run(self, batch: list[bytes]) -> list[object]:
        if batch == [b"warm"]:
            return ["WARM"]
        raise RuntimeError(batch[0].decode())


@pytest.fixture
async def stub(tmp_path):
    logs.configure("info", "json")  # what a service has; structlog's own would colour megabytes
    spec = replace(SPEC, engines={"toy": f"{__name__}:Talkative"})
    server = Server(spec, ServiceSettings(port=0, drain_seconds=0, media_roots=[tmp_path]))
    await server.start()
    await server.wait_ready()
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield pb_grpc.ToneDescriberStub(channel)
    await server.stop()
    structlog.reset_defaults()


async def failure(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


@pytest.mark.parametrize("text", ["x" * 5000, "x" * 20_000, "\u4e00" * 20_000, "x" + "\U0001f4a5" * 5000])
async def test_an_error_of_any_length_reaches_the_client_as_what_it_is(stub, text):
    """Above gRPC's bound of headers it came as RESOURCE_EXHAUSTED, and would have been tried again."""
    for _ in range(5):  # between its soft and its hard bound gRPC refuses by chance
        error = await failure(stub.Describe(pb.DescribeRequest(audio=common_pb2.Media(data=text.encode()))))
        assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "ENGINE_FAULT")
        assert text[:100] in str(error) and str(error).endswith("...") and "\ufffd" not in str(error)


@pytest.mark.parametrize("part", ["a/", "a/../", "\u4e00/", "../"])
async def test_a_path_of_megabytes_costs_nothing(stub, part):
    """To follow one costs the square of its length: 160 kB of "a/" took a second, on the event loop."""
    path = f"/{part * (1_000_000 // len(part))}"
    began = time.process_time()
    error = await failure(stub.Describe(pb.DescribeRequest(audio=common_pb2.Media(path=path))))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PATH_REFUSED")
    assert time.process_time() - began < 1


async def test_a_path_that_is_nearly_too_long_is_refused_in_a_sentence(stub):
    for part in ("a/", "\u4e00/"):
        error = await failure(stub.Describe(pb.DescribeRequest(audio=common_pb2.Media(path=f"/{part * 2000}"))))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PATH_REFUSED")


def test_a_clips_name_of_megabytes_is_a_short_line_in_the_log():
    target = io.StringIO()
    try:
        with redirect_stderr(target):
            logs.configure("info", "json")
            structlog.contextvars.bind_contextvars(clip="c" * 5_000_000)
            try:
                raise ValueError("e" * 5000)
            except ValueError:
                structlog.get_logger().error("request", exc_info=True)
    finally:
        structlog.contextvars.clear_contextvars()
        structlog.reset_defaults()
    line = json.loads(target.getvalue())
    assert line["clip"] == "c" * logs.LONGEST_VALUE + "..."
    assert line["exception"].endswith("e" * 5000)  # what a person looks for

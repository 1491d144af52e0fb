"""A service that is not ours, and answers what no protobuf of ours holds: an error for its caller, and no crash."""

from __future__ import annotations

from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest

from merrflow.clients import Services
from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow.core.settings_file import load_settings
from merrflow.qwen_audio.v1 import qwen_audio_pb2 as pb
from merrflow_serving.errors import EngineFault, MerrflowError
from merrflow_serving.media.audio import encode_wav

WAV = encode_wav(np.zeros(1600, np.float32))


class _Engine(common_pb2_grpc.EngineServicer):
    async def Info(self, request, context):  # noqa: N802
        return common_pb2.InfoResponse(service="qwen-audio", ready=True)


@asynccontextmanager
async def answering(answer):
    """A service whose every answer is these bytes, or this gRPC status."""

    async def describe(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        if isinstance(answer, bytes):
            return answer
        await context.abort(answer, "said so")

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(describe)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("merrflow.qwen_audio.v1.ToneDescriber", {"Describe": handler}),)
    )
    common_pb2_grpc.add_EngineServicer_to_server(_Engine(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    settings = load_settings(None, retry_seconds=0.5, call_seconds=5.0)
    try:
        async with Services({"qwen-audio": f"127.0.0.1:{port}"}, settings) as services:
            await services.wait_ready()
            yield services
    finally:
        await server.stop(0)


@pytest.mark.parametrize(
    "answer",
    [
        b"\x0a\x02\xff\xfe",  # a text that is no UTF-8
        b"\xff\xff\xff",  # no protobuf
        b"",  # nothing is set
        pb.DescribeResponse(text="Fine.").SerializeToString(),  # without an outcome
        pb.DescribeResponse(text="Fine.", outcome=99).SerializeToString(),
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DATA_LOSS,
    ],
    ids=str,
)
async def test_an_answer_that_is_none_is_an_error_of_the_service(answer):
    async with answering(answer) as services:
        with pytest.raises(MerrflowError) as caught:
            await services.tone("clip", WAV)
    assert caught.value.code is not grpc.StatusCode.INVALID_ARGUMENT, "it is not the clip's fault"
    assert str(caught.value)
    if answer == b"":
        assert isinstance(caught.value, EngineFault) and "outcome" in str(caught.value)

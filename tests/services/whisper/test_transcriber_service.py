"""The service through real gRPC: bytes, streams, bad media, languages."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from merrflow.common.v1 import common_pb2
from merrflow.whisper.v1 import whisper_pb2 as pb
from merrflow.whisper.v1 import whisper_pb2_grpc as pb_grpc
from merrflow_serving.errors import from_rpc_error
from merrflow_serving.media.audio import encode_wav
from merrflow_serving.server import Server
from merrflow_whisper import SPEC

CLIP = (Path(__file__).parents[3] / "examples/clips/surprise_visit.mp4").read_bytes()


@asynccontextmanager
async def client(models, **settings):
    server = Server(
        SPEC, SPEC.settings(port=0, drain_seconds=5, models_dir=models, offline=True, threads=1, **settings)
    )
    await server.start()
    await server.wait_ready()
    async with grpc.aio.insecure_channel(server.address) as channel:
        try:
            yield pb_grpc.TranscriberStub(channel)
        finally:
            await server.stop()


def request(data: bytes, language: str = "") -> pb.TranscribeRequest:
    return pb.TranscribeRequest(clip="clip", audio=common_pb2.Media(data=data), language=language)


async def failure(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = from_rpc_error(caught.value)
    return error.code, error.reason


async def test_bytes_and_stream_give_the_same_answer(models, loaded_already):
    async with client(models) as stub:
        whole = await stub.Transcribe(request(CLIP))
        parts = [pb.TranscribeStreamRequest(request=pb.TranscribeRequest(clip="clip"))]
        parts += [pb.TranscribeStreamRequest(chunk=CLIP[at : at + 9999]) for at in range(0, len(CLIP), 9999)]
        streamed = (await stub.TranscribeStream(iter(parts))).response
    assert whole.text == streamed.text == "Oh, what are you doing here?"
    assert whole.outcome == common_pb2.OUTCOME_DONE and whole.language == "en"
    (segment,) = whole.segments
    assert 0 < segment.start_seconds < segment.end_seconds and segment.HasField("no_speech_probability")
    assert whole.engine.engine == "faster_whisper" and whole.engine.prompt_version and whole.engine.revision


async def test_bad_media_and_languages(models):
    async with client(models, max_seconds=2.0) as stub:
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        assert await failure(stub.Transcribe(request(b"not sound"))) == (invalid, "MEDIA_UNREADABLE")
        assert await failure(stub.Transcribe(request(CLIP))) == (invalid, "TOO_LARGE")
        silence = encode_wav(np.zeros(16_000, np.float32))
        assert (await failure(stub.Transcribe(request(silence, "English"))))[0] == invalid
        assert (await failure(stub.Transcribe(request(silence, "xx"))))[0] == invalid
        assert (await stub.Transcribe(request(silence))).reason == "nobody speaks"
        assert (await stub.Transcribe(request(silence, "en"))).reason == "nobody speaks"

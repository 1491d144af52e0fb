"""The service through real gRPC: bytes, streams, paths, bad media."""

from __future__ import annotations

from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest

from merrflow.common.v1 import common_pb2
from merrflow.qwen_audio.v1 import qwen_audio_pb2 as pb
from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc as pb_grpc
from merrflow_qwen_audio import SPEC
from merrflow_serving.errors import from_rpc_error
from merrflow_serving.media.audio import encode_wav
from merrflow_serving.server import Server
from tests.services.qwen_audio import signals
from tests.services.qwen_audio.synthetic_speech import spoken_vowels


@asynccontextmanager
async def client(**settings):
    server = Server(SPEC, SPEC.settings(port=0, drain_seconds=5, **settings))
    await server.start()
    await server.wait_ready()
    async with grpc.aio.insecure_channel(server.address) as channel:
        try:
            yield pb_grpc.ToneDescriberStub(channel)
        finally:
            await server.stop()


def request(data: bytes) -> pb.DescribeRequest:
    return pb.DescribeRequest(clip="clip", audio=common_pb2.Media(data=data))


async def failure(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = from_rpc_error(caught.value)
    return error.code, error.reason


async def test_bytes_stream_and_path_give_the_same_answer(tmp_path):
    wav = encode_wav(spoken_vowels(3.0))
    (tmp_path / "voice 声.wav").write_bytes(wav)
    async with client(media_roots=[tmp_path]) as stub:
        whole = await stub.Describe(request(wav))
        path = common_pb2.Media(path=str(tmp_path / "voice 声.wav"))
        named = await stub.Describe(pb.DescribeRequest(clip="clip", audio=path))
        parts = [pb.DescribeStreamRequest(request=pb.DescribeRequest(clip="clip"))]
        parts += [pb.DescribeStreamRequest(chunk=wav[at : at + 9999]) for at in range(0, len(wav), 9999)]
        streamed = (await stub.DescribeStream(iter(parts))).response
    for reply in (whole, named, streamed):
        assert reply.text.startswith("The voice is ")
        assert reply.outcome == common_pb2.OUTCOME_DONE
        assert reply.content == pb.CONTENT_SPEECH
        assert reply.engine.engine == "prosody" and reply.engine.prompt_version
        assert reply.timing.model_seconds > 0
    assert whole.text == named.text == streamed.text
    assert list(whole.measurements) == list(named.measurements) == list(streamed.measurements)
    units = {m.name: m.unit for m in whole.measurements}
    assert units["pitch_mean"] == "Hz" and units["pitch_range"] == "semitones" and units["loudness"] == "dBFS"
    assert 0 <= whole.speech[0].start_seconds < whole.speech[0].end_seconds <= 3.0


async def test_contents_without_speech():
    async with client() as stub:
        for sound, content in (
            (np.zeros(16_000, np.float32), pb.CONTENT_SILENCE),
            (signals.noise(2.0), pb.CONTENT_NO_SPEECH),
            (signals.chords(), pb.CONTENT_MUSIC),
        ):
            reply = await stub.Describe(request(encode_wav(sound)))
            assert reply.content == content
            assert not reply.speech


async def test_bad_media():
    async with client(max_seconds=2.0) as stub:
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        assert await failure(stub.Describe(request(b"not sound"))) == (invalid, "MEDIA_UNREADABLE")
        assert await failure(stub.Describe(request(encode_wav(signals.noise(2.5))))) == (invalid, "TOO_LARGE")
        assert (await failure(stub.Describe(pb.DescribeRequest())))[0] == invalid
        assert (await stub.Describe(request(encode_wav(signals.noise(1.5))))).content == pb.CONTENT_NO_SPEECH


async def test_a_picture_has_no_sound():
    from merrflow_serving.media.images import encode_jpeg

    picture = encode_jpeg(np.zeros((32, 32, 3), np.uint8))
    async with client() as stub:
        code, reason = await failure(stub.Describe(request(picture)))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and reason == "STREAM_MISSING"


def test_the_warm_up_recording_is_the_synthetic_speech():
    np.testing.assert_allclose(SPEC.warmup().samples, spoken_vowels(), atol=1e-4)

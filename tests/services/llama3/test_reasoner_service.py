"""The service through real gRPC, with the real model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import pytest

from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow.llama3.v1 import llama3_pb2 as pb
from merrflow.llama3.v1 import llama3_pb2_grpc as pb_grpc
from merrflow_llama3 import SPEC
from merrflow_llama3.types import Clues
from merrflow_serving.errors import from_rpc_error
from merrflow_serving.server import Server
from tests.services.llama3.clue_sets import SAD, UNLABELLED


@asynccontextmanager
async def channel(**settings: object) -> AsyncIterator[grpc.aio.Channel]:
    server = Server(SPEC, SPEC.settings(port=0, drain_seconds=5, threads=1, **settings))
    await server.start()
    await server.wait_ready()
    async with grpc.aio.insecure_channel(server.address) as opened:
        try:
            yield opened
        finally:
            await server.stop()


def request(clues: Clues, seed: int = 0) -> pb.ReasonRequest:
    return pb.ReasonRequest(clip="clip", clues=pb.Clues(**vars(clues)), seed=seed)


async def test_answers_limits_and_errors_over_grpc(loaded_already):
    async with channel() as opened:
        stub = pb_grpc.EmotionReasonerStub(opened)
        info = await common_pb2_grpc.EngineStub(opened).Info(common_pb2.InfoRequest())
        assert info.ready and info.problem == ""
        assert info.limits.max_tokens == 2048

        asked = (UNLABELLED, replace(UNLABELLED, expressions=("lip corners pulled down",)))  # soon answered
        replies = await asyncio.gather(*(stub.Reason(request(clues, 4)) for clues in asked))
        for reply in replies:
            assert reply.outcome == common_pb2.OUTCOME_DONE
            assert reply.text.startswith("In the video,") and reply.text.endswith(".")
            assert reply.engine == info.engine
            assert reply.engine.prompt_version.startswith("small@")
            assert reply.prompt_tokens > reply.answer_tokens > 0
            assert reply.timing.model_seconds > 0
        assert (await stub.Reason(request(UNLABELLED, 4))).text == replies[0].text

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Reason(request(Clues(label="happy")))
        error = from_rpc_error(caught.value)
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "NO_CLUE")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Reason(request(Clues(subtitle="I am happy. " + "word " * 5000, label="happy")))
        error = from_rpc_error(caught.value)
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_LARGE")


async def test_scores_over_grpc(loaded_already):
    labels = ["happy", "sad"]
    async with channel() as opened:
        stub = pb_grpc.EmotionReasonerStub(opened)
        clues = pb.Clues(**vars(UNLABELLED))
        reply, text, turned = await asyncio.gather(  # both kinds wait in one queue
            stub.Score(pb.ScoreRequest(clip="clip", clues=clues, labels=labels)),
            stub.Reason(request(UNLABELLED, 4)),
            stub.Score(pb.ScoreRequest(clip="clip", clues=clues, labels=labels[::-1])),
        )
        assert [score.label for score in reply.scores] == labels
        assert abs(sum(score.probability for score in reply.scores) - 1) < 1e-9
        assert all(score.log_likelihood < 0 for score in reply.scores)
        assert list(turned.scores) == list(reply.scores)[::-1]
        assert reply.prompt_tokens > 50 and reply.timing.model_seconds > 0
        assert reply.engine == text.engine and text.outcome == common_pb2.OUTCOME_DONE
        for wrong, reason in [
            (pb.ScoreRequest(clues=clues), "LABELS"),
            (pb.ScoreRequest(clues=clues, labels=["sad"]), "LABELS"),
            (pb.ScoreRequest(clues=clues, labels=["sad", ""]), "LABELS"),
            (pb.ScoreRequest(clues=clues, labels=["sad", "sad"]), "LABELS"),
            (pb.ScoreRequest(clues=pb.Clues(label="sad"), labels=labels), "NO_CLUE"),
        ]:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Score(wrong)
            error = from_rpc_error(caught.value)
            assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_a_missing_model_is_told_by_info_and_requests(tmp_path):
    async with channel(model_path=tmp_path / "none.gguf") as opened:
        info = await common_pb2_grpc.EngineStub(opened).Info(common_pb2.InfoRequest())
        assert not info.ready
        assert "does not exist" in info.problem and "MERRFLOW_LLAMA3_MODEL_PATH" in info.problem
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pb_grpc.EmotionReasonerStub(opened).Reason(request(SAD))
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE

"""The engine `openai` of the scene service: pictures as an endpoint takes them, and what it answers."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from aiohttp import web
from PIL import Image

from benchmarks.support.endpoint import Asked, FakeEndpoint, completion, error
from merrflow.common.v1 import common_pb2
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2 as pb
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2_grpc as rpc
from merrflow_minigpt_v2 import SPEC, ContextFrame, MiniGptSettings, SceneItem
from merrflow_minigpt_v2.engines.openai.engine import OpenAIScenes
from merrflow_minigpt_v2.engines.openai.pictures import LONGEST_SIDE, data_url, pictures
from merrflow_serving.errors import from_rpc_error
from tests.services.openai_engines import READS, answering, info_of, serving

GREY = np.full((60, 80, 3), 120, np.uint8)


def png(image: np.ndarray = GREY) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


async def test_a_frame_is_sent_as_a_jpeg_and_described():
    with FakeEndpoint(answering("A man sits\nat\x06 a table.")) as endpoint:
        async with serving(SPEC, endpoint.url) as channel:
            info = await info_of(channel)
            assert info.ready and info.engine.engine == "openai" and info.engine.model == "tiny"
            assert info.engine.prompt_version.startswith("scene@")
            assert info.endpoint.host == endpoint.url.split("/")[2]
            assert info.endpoint.reach == common_pb2.REACH_MACHINE
            reply = await rpc.SceneDescriberStub(channel).Describe(pb.DescribeRequest(image={"data": png()}))
        assert (reply.text, reply.outcome) == ("A man sits at a table.", common_pb2.OUTCOME_DONE)
        assert (reply.usage.model, reply.usage.calls, reply.usage.output_tokens) == ("tiny-1", 1, 5)
        assert reply.usage.input_tokens > READS and reply.usage.prompt_version == info.engine.prompt_version
        url = endpoint.asked[-1].body["messages"][-1]["content"][0]["image_url"]["url"]
        kind, _, data = url.partition(";base64,")
        assert kind == "data:image/jpeg" and Image.open(io.BytesIO(base64.b64decode(data))).size == (80, 60)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"finish_reason": "length"}, common_pb2.OUTCOME_TRUNCATED),
        ({"finish_reason": "content_filter"}, common_pb2.OUTCOME_REFUSED),
    ],
)
async def test_half_a_text_and_a_refusal_are_outcomes(changes, outcome):
    with FakeEndpoint(answering("A man")) as endpoint:
        async with serving(SPEC, endpoint.url) as channel:
            endpoint.answer = answering("A man", **changes)
            reply = await rpc.SceneDescriberStub(channel).Describe(pb.DescribeRequest(image={"data": png()}))
    assert reply.outcome == outcome


async def test_an_endpoint_that_is_away_is_a_passing_error_and_the_next_call_works(monkeypatch):
    monkeypatch.setattr("merrflow_serving.openai.engine.ITEM_SECONDS", 1.0)
    with FakeEndpoint(answering("A man sits.")) as endpoint:
        async with serving(SPEC, endpoint.url) as channel:
            stub = rpc.SceneDescriberStub(channel)

            async def away(asked: Asked) -> web.StreamResponse:
                return error(503, "restarting")

            endpoint.answer = away
            with pytest.raises(Exception, match="restarting") as caught:
                await stub.Describe(pb.DescribeRequest(image={"data": png()}))
            found = from_rpc_error(caught.value)
            assert found.retryable and found.reason == "ENDPOINT_UNREACHABLE"
            endpoint.answer = answering("A man sits.")
            assert (await stub.Describe(pb.DescribeRequest(image={"data": png()}))).text == "A man sits."


async def refuses_pictures(asked: Asked) -> web.StreamResponse:
    if asked.parts.count("image_url"):
        return error(400, "tiny is not a multimodal model")
    return web.json_response(completion())


async def drops_pictures(asked: Asked) -> web.StreamResponse:
    return web.json_response(completion())  # the same count of tokens with a picture and without


async def wrong_key(asked: Asked) -> web.StreamResponse:
    return error(401, "Incorrect API key provided: sk-12345")


async def unknown(asked: Asked) -> web.StreamResponse:
    return error(404, "The model `tiny` does not exist", code="model_not_found")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refuses_pictures, "reads no pictures: .*not a multimodal model"),
        (drops_pictures, "reads no pictures: the server counts 10 tokens with one and without"),
        (wrong_key, "refuses the key .401.: set MERRFLOW_MINIGPT_V2_OPENAI_API_KEY"),
        (unknown, "does not know the model tiny"),
    ],
)
async def test_what_is_wrong_with_an_endpoint_is_one_line_of_info(answer, words):
    with FakeEndpoint(answer) as endpoint:
        async with serving(SPEC, endpoint.url, openai_api_key="sk-12345") as channel:
            problem = (await info_of(channel)).problem
    assert "\n" not in problem and "sk-12345" not in problem
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(problem)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ({"openai_base_url": ""}, "no endpoint is set: MERRFLOW_MINIGPT_V2_OPENAI_BASE_URL"),
        ({"openai_model": ""}, "no model"),
    ],
)
async def test_missing_settings_are_one_line_of_info(missing, words):
    async with serving(SPEC, "http://127.0.0.1:9/v1", **missing) as channel:
        info = await info_of(channel)
    assert words in info.problem and not info.ready


def test_frames_around_it_are_shown_in_order_of_time():
    context = tuple(
        ContextFrame(offset, np.full((4, 4, 3), number, np.uint8)) for number, offset in enumerate((-2, -1, 1, 2))
    )
    shown, number = pictures(SceneItem(GREY, context), 3)
    assert [int(one[0, 0, 0]) for one in shown] == [0, 120, 3] and number == 2
    assert len(pictures(SceneItem(GREY, context), 1)[0]) == 1
    assert len(pictures(SceneItem(GREY, context), 16)[0]) == 5


def test_large_frames_are_made_smaller():
    data = data_url(np.zeros((2000, 3000, 3), np.uint8)).partition("base64,")[2]
    assert max(Image.open(io.BytesIO(base64.b64decode(data))).size) == LONGEST_SIDE


@pytest.mark.parametrize(
    "changed", [{"openai_frames": 2}, {"openai_extra_body": {"top_p": 0.5}}, {"seed": 1}, {"prompt": "merr_words"}]
)
def test_what_changes_an_answer_changes_the_prompt_version_and_a_moved_endpoint_does_not(changed):
    settings = {"openai_base_url": "http://a/v1", "openai_model": "tiny"}
    before = OpenAIScenes(MiniGptSettings(**settings)).info()
    assert OpenAIScenes(MiniGptSettings(**settings, **changed)).info().prompt_version != before.prompt_version
    assert OpenAIScenes(MiniGptSettings(**settings | {"openai_base_url": "http://b/v1"})).info() == before


def test_a_jpeg_keeps_colours_that_are_next_to_each_other():
    """At quality 90 with halved colours, as JPEG usually is, red beside blue is off by more than 100 levels."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 0::2, 0], image[:, 1::2, 2] = 220, 220
    data = base64.b64decode(data_url(image).partition("base64,")[2])
    seen = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)
    assert np.abs(seen - image).max() <= 20

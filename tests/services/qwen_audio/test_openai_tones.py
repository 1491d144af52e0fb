"""The engine `openai` of the tone service: sound as an endpoint takes it, and what it answers."""

from __future__ import annotations

import base64
import io
import wave

import numpy as np
import pytest
from aiohttp import web

from benchmarks.support.endpoint import Asked, FakeEndpoint, completion
from merrflow_qwen_audio import SPEC, Content, Outcome, QwenAudioSettings, ToneItem
from merrflow_qwen_audio.engines.openai.engine import OpenAITones
from merrflow_qwen_audio.service import warmup_item
from merrflow_serving.errors import NotReady
from tests.services.openai_engines import answering, info_of, serving


def loaded(url: str, **settings: object) -> OpenAITones:
    engine = OpenAITones(QwenAudioSettings(openai_base_url=url, openai_model="tiny", **settings))
    engine.load()
    return engine


def test_speech_is_sent_as_a_wav_file_and_its_tone_taken_from_the_list():
    with FakeEndpoint(answering("The speaker sounds sad.")) as endpoint:
        engine = loaded(endpoint.url)
        (found,) = engine.run([warmup_item()])
        engine.close()
        data = endpoint.asked[-1].body["messages"][-1]["content"][0]["input_audio"]
    assert (found.text, found.outcome) == ("The speaker's tone is sad.", Outcome.DONE)
    assert {one.name: one.value for one in found.measurements}["tone_in_list"] == 1.0
    assert (found.usage.calls, found.usage.model) == (1, "tiny-1")
    with wave.open(io.BytesIO(base64.b64decode(data["data"]))) as file:
        assert (data["format"], file.getframerate(), file.getnframes()) == ("wav", 16000, 32000)


def test_nothing_is_sent_if_nobody_speaks():
    with FakeEndpoint(answering("sad")) as endpoint:
        engine = loaded(endpoint.url)
        before = len(endpoint.asked)
        (found,) = engine.run([ToneItem(np.zeros(32000, np.float32))])
        engine.close()
        assert len(endpoint.asked) == before
    assert found.content is Content.SILENCE and found.usage is None and found.text


def test_a_long_recording_is_asked_about_in_windows_and_all_are_counted():
    long = ToneItem(np.tile(warmup_item().samples, 20))  # 40 s
    with FakeEndpoint(answering("calm")) as endpoint:
        engine = loaded(endpoint.url)
        before = len(endpoint.asked)
        (found,) = engine.run([long])
        engine.close()
        assert len(endpoint.asked) - before == found.usage.calls == 2


def test_a_refusal_is_an_outcome():
    with FakeEndpoint(answering("calm")) as endpoint:
        engine = loaded(endpoint.url)
        endpoint.answer = answering("", finish_reason="content_filter")
        (found,) = engine.run([warmup_item()])
        engine.close()
    assert (found.outcome, found.text) == (Outcome.REFUSED, "")


async def test_a_model_that_hears_nothing_is_one_line_of_info():
    async def deaf(asked: Asked) -> web.StreamResponse:
        return web.json_response(completion())

    with FakeEndpoint(deaf) as endpoint:
        async with serving(SPEC, endpoint.url) as channel:
            problem = (await info_of(channel)).problem
    assert problem.startswith("the model tiny-1 at 127.0.0.1:") and "reads no sound" in problem


def test_a_prompt_of_task_tags_is_refused():
    with FakeEndpoint(answering("calm")) as endpoint, pytest.raises(NotReady, match="task tags"):
        loaded(endpoint.url, prompt="emotion_keyword")

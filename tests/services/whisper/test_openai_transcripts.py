"""The engine `openai` of the speech service: what endpoints of several kinds return of a recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from benchmarks.support.endpoint import Asked, FakeEndpoint, error
from merrflow_serving.media.audio import decode_audio
from merrflow_whisper import SPEC, SpeechItem, WhisperSettings
from merrflow_whisper.engines.openai.engine import OpenAITranscripts
from merrflow_whisper.engines.openai.names import code_of
from tests.paths import ROOT
from tests.services.openai_engines import info_of, serving

CLIP = ROOT / "examples" / "clips" / "good_news.mp4"
SEGMENTS = [
    {"start": 0.0, "end": 1.2, "text": " We got it.", "avg_logprob": -0.2, "no_speech_prob": 0.01},
    {"start": 1.2, "end": 2.0, "text": " Thanks for watching.", "avg_logprob": -0.1, "no_speech_prob": 0.01},
    {"start": 2.0, "end": 99.0, "text": " Hm.", "avg_logprob": -3.0, "no_speech_prob": 0.9},
]


def server(*forms: str, **answer: Any) -> Callable[[Asked], Any]:
    """Knows these forms of answers only."""

    async def reply(asked: Asked) -> web.StreamResponse:
        form = asked.body["response_format"]
        if form not in forms:
            return error(400, f"response_format {form} is not supported")
        if form == "text":
            return web.Response(text="We got it.\n")
        return web.json_response({"text": "We got it.", **(answer if form == "verbose_json" else {})})

    return reply


def loaded(url: str, **settings: Any) -> OpenAITranscripts:
    engine = OpenAITranscripts(WhisperSettings(openai_base_url=url, openai_model="tiny", **settings))
    engine.load()
    return engine


def test_segments_are_judged_by_our_rules_and_are_at_their_times():
    with FakeEndpoint(server("verbose_json", language="english", segments=SEGMENTS)) as endpoint:
        engine = loaded(endpoint.url)
        (found,) = engine.run([SpeechItem(decode_audio(CLIP))])
        engine.close()
        assert endpoint.asked[-1].file[:4] == b"RIFF" and endpoint.asked[-1].body["model"] == "tiny"
    assert (found.text, found.language) == ("We got it.", "en")
    assert [bool(one.rejected) for one in found.segments] == [False, True, True]
    assert 0.2 < found.segments[0].start < found.segments[0].end <= found.segments[-1].end < 4
    assert found.usage.calls == 1 and found.usage.audio_seconds > 2


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_endpoint_that_gives_the_text_alone(form):
    with FakeEndpoint(server(form)) as endpoint:
        engine = loaded(endpoint.url)
        (found,) = engine.run([SpeechItem(decode_audio(CLIP), "en")])
        engine.close()
        assert endpoint.asked[-1].body["response_format"] == form
    assert (found.text, len(found.segments)) == ("We got it.", 1)


def test_nothing_is_sent_if_nobody_speaks():
    with FakeEndpoint(server("json")) as endpoint:
        engine = loaded(endpoint.url)
        before = len(endpoint.asked)
        (found,) = engine.run([SpeechItem(np.zeros(16000, np.float32))])
        engine.close()
        assert len(endpoint.asked) == before
    assert (found.text, found.reason, found.usage) == ("", "nobody speaks", None)


async def test_an_endpoint_that_transcribes_nothing_is_one_line_of_info():
    with FakeEndpoint(server()) as endpoint:
        async with serving(SPEC, endpoint.url) as channel:
            problem = (await info_of(channel)).problem
    assert problem.startswith("the endpoint transcribes nothing") and "\n" not in problem


@pytest.mark.parametrize(("name", "code"), [("english", "en"), ("Chinese", "zh"), ("zh", "zh"), ("", ""), ("x?", "")])
def test_languages_by_name_or_code(name, code):
    assert code_of(name) == code

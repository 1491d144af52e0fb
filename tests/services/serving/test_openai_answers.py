"""What an endpoint's answers and errors are taken for."""

from __future__ import annotations

import pytest
from aiohttp import web

from benchmarks.support.endpoint import Asked, completion, error
from merrflow_serving.answers import Outcome
from merrflow_serving.errors import InvalidInput, NotReady, TooLarge
from merrflow_serving.openai import client as client_module
from merrflow_serving.openai.errors import Called, Passing
from merrflow_serving.openai.replies import reported
from tests.services.serving.openai_clients import KEY, ask

BAD = {
    "html": web.Response(text="<html><body>Bad gateway</body></html>", content_type="text/html"),
    "html as json": web.Response(text="<html></html>", content_type="application/json"),
    "no json": web.Response(text='{"choices": [', content_type="application/json"),
    "no object": web.json_response([1]),
    "no choice": web.json_response(completion() | {"choices": []}),
    "choices of another type": web.json_response(completion() | {"choices": "yes"}),
    "an answer without an end": web.json_response(completion("The man", finish_reason=None)),
    "content of another type": web.json_response(completion(message={"content": {"a": 1}})),
    "negative tokens": web.json_response(completion(usage={"prompt_tokens": -1})),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_answer_is_never_taken_for_one(opened, server, kind):
    bad = BAD[kind]

    async def answer(asked: Asked) -> web.StreamResponse:
        return web.Response(body=bad.body, headers=bad.headers)

    server.answer = answer
    with pytest.raises(Passing, match="gave no usable answer") as caught:
        ask(opened())
    assert len(server.asked) == 3, "a few tries, because each may have been paid for"
    assert caught.value.retryable and "\n" not in str(caught.value)


def test_an_answer_of_any_size_is_not_read(opened, server, monkeypatch):
    monkeypatch.setattr(client_module, "MOST_BYTES", 1000)

    async def answer(asked: Asked) -> web.StreamResponse:
        return web.json_response(completion("a" * 2000))

    server.answer = answer
    with pytest.raises(Passing, match="more than"):
        ask(opened())


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (completion("The man", finish_reason="length"), Outcome.TRUNCATED),
        (completion("<think>The man", finish_reason="stop"), Outcome.TRUNCATED),
        (completion("", finish_reason="content_filter"), Outcome.REFUSED),
        (completion(message={"content": None, "refusal": "I can't help"}), Outcome.REFUSED),
        (completion(""), Outcome.REFUSED),
    ],
)
def test_half_answers_and_refusals_are_outcomes(opened, server, given, outcome):
    async def answer(asked: Asked) -> web.StreamResponse:
        return web.json_response(given)

    server.answer = answer
    reply = ask(opened())
    assert (reply.outcome, reply.usage.calls) == (outcome, 1)


def test_a_filter_that_answers_with_an_error_is_a_refusal(opened, server):
    async def answer(asked: Asked) -> web.StreamResponse:
        return error(400, "filtered", code="content_filter")

    server.answer = answer
    assert ask(opened()).outcome is Outcome.REFUSED
    assert len(server.asked) == 1


def test_thoughts_are_no_part_of_an_answer(opened, server):
    async def answer(asked: Asked) -> web.StreamResponse:
        return web.json_response(completion("<think>He may\nbe sad.</think>\n\nA man sits."))

    server.answer = answer
    assert ask(opened()).text == "A man sits."


@pytest.mark.parametrize(
    ("status", "code", "kind", "reason", "words"),
    [
        (401, None, NotReady, "KEY_REFUSED", r"refuses the key \(401\): set MERRFLOW_\w*API_KEY|refuses the key"),
        (403, None, NotReady, "KEY_REFUSED", "forbids the model tiny"),
        (404, "model_not_found", NotReady, "MODEL_MISSING", "does not know the model tiny"),
        (400, None, InvalidInput, "ENDPOINT_REFUSES", r"refuses the request \(400\): no"),
        (400, "context_length_exceeded", TooLarge, "TOO_LARGE", "of this size"),
        (413, None, TooLarge, "TOO_LARGE", "of this size"),
        (429, "insufficient_quota", Passing, "ENDPOINT_UNREACHABLE", "no quota left"),
        (307, None, NotReady, "ENDPOINT_REDIRECTS", "redirects"),
    ],
)
def test_what_does_not_pass_is_said_in_one_line_at_once(opened, server, status, code, kind, reason, words):
    async def answer(asked: Asked) -> web.StreamResponse:
        return error(status, f"no {KEY}\nsecond line", code=code, headers={"Location": "http://127.0.0.1:9/v1/"})

    server.answer = answer
    with pytest.raises(kind, match=words) as caught:
        ask(opened())
    assert caught.value.reason == reason
    assert len(server.asked) == 1
    assert KEY not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("told", "given", "name"),
    [
        ("/models/a/tiny.gguf", "m", "tiny.gguf"),
        ("", "/models/a/tiny/", "tiny"),
        ("C:\\models\\tiny.gguf", "m", "tiny.gguf"),
        ("", "org/tiny", "org/tiny"),
    ],
)
def test_no_path_is_kept_as_a_models_name(told, given, name):
    assert reported(told, Called("host", given)) == name

"""The client of an endpoint against a server that misbehaves: nothing is lost, nothing invented, nothing leaks."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiohttp import web

from benchmarks.support.endpoint import Asked, completion, error
from merrflow_serving.answers import Outcome
from merrflow_serving.errors import Abandoned, MerrflowError, NotReady
from merrflow_serving.openai.engine import Calls
from merrflow_serving.openai.errors import Passing
from merrflow_serving.openai.settings import OpenAISettings
from tests.services.serving.openai_clients import KEY, ask, well


def failing(times: int, *answers: web.Response) -> Callable[[Asked], object]:
    """Answers the first `times` requests with these in turn, later ones well. Responses are sent once only."""
    left = iter([*answers, *([None] * times)])

    async def answer(asked: Asked) -> web.StreamResponse:
        if asked.number < times:
            made = next(left)
            if made is not None:
                return made
        return await well(asked)

    return answer


def test_what_an_answer_took_is_known(opened, server):
    reply = ask(opened())
    assert (reply.text, reply.outcome) == ("to a", Outcome.DONE)
    usage = reply.usage
    assert usage.endpoint == server.url.removeprefix("http://").removesuffix("/v1")
    assert (usage.model, usage.fingerprint) == ("tiny-1", "fp_1")
    assert (usage.input_tokens, usage.output_tokens, usage.calls) == (10, 3, 1)
    assert usage.seconds > 0


def test_a_storm_of_429_is_waited_out_as_the_server_asks_and_loses_nothing(opened, server):
    open_at = time.monotonic() + 1.0
    client = opened(openai_concurrency=8)

    async def storm(asked: Asked) -> web.StreamResponse:
        if time.monotonic() < open_at:
            return error(429, "slow down", headers={"Retry-After": "1"})
        return await well(asked)

    server.answer = storm
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda number: ask(client, str(number)), range(40)))
    assert [reply.text for reply in replies] == [f"to {number}" for number in range(40)]
    assert sum(reply.usage.calls for reply in replies) == len(server.asked)
    assert len(server.asked) <= 40 + 2 * 8  # a pause holds all requests back, not only the one that was refused


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503])
def test_what_may_pass_is_tried_again(opened, server, status):
    server.answer = failing(2, error(status, "later"), error(status, "later"))
    assert ask(opened()).usage.calls == 3


def test_a_dropped_connection_and_half_an_answer_are_tried_again(opened, server):
    async def drop(asked: Asked) -> web.StreamResponse:
        if asked.number < 2:
            response = web.StreamResponse(headers={"Content-Length": "500", "Content-Type": "application/json"})
            await response.prepare(asked.request)
            if asked.number:
                await response.write(b'{"choices": [')
            asked.request.transport.abort()
            return response
        return await well(asked)

    server.answer = drop
    reply = ask(opened())
    assert (reply.text, reply.usage.calls) == ("to a", 3)


def test_a_server_that_hangs_is_given_up(opened, server):
    async def hang(asked: Asked) -> web.StreamResponse:
        if asked.number == 0:
            await asyncio.sleep(30)
        return await well(asked)

    server.answer = hang
    assert ask(opened(openai_timeout_seconds=0.3)).usage.calls == 2


def test_a_server_that_drips_is_given_up(opened, server):
    async def drip(asked: Asked) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(asked.request)
        for _ in range(100):
            await response.write(b" ")
            await asyncio.sleep(0.1)
        return response

    server.answer = drip
    started = time.monotonic()
    with pytest.raises(Passing, match="did not answer in time"):
        ask(opened(openai_timeout_seconds=0.5), seconds=1.0)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(("body", "code", "most"), [("<html>", None, 3), ("", "insufficient_quota", 1)])
def test_a_storm_before_does_not_lift_the_limit_of_calls_that_may_be_paid_for(opened, server, body, code, most):
    async def answer(asked: Asked) -> web.StreamResponse:
        if asked.number < 4:
            return error(429, "slow down", headers={"Retry-After": "0"})
        return error(429, "no money", code=code) if code else web.Response(text=body)

    server.answer = answer
    with pytest.raises(Passing, match="no quota left" if code else "no usable answer"):
        ask(opened(), seconds=6.0)
    assert len(server.asked) == 4 + most, "not for as long as there is time"


def test_nobody_at_the_address_is_a_passing_error(opened, server):
    client = opened(openai_base_url="http://127.0.0.1:9/v1")
    with pytest.raises(Passing, match="cannot be reached"):
        ask(client, seconds=1.0)


def test_a_wait_beyond_what_is_left_is_not_waited_for(opened, server):
    async def answer(asked: Asked) -> web.StreamResponse:
        return error(429, "tomorrow", headers={"Retry-After": "3600"})

    server.answer = answer
    started = time.monotonic()
    with pytest.raises(Passing, match="limits the rate"):
        ask(opened(), seconds=5.0)
    assert time.monotonic() - started < 2


def test_who_leaves_frees_the_server_at_once(opened, server):
    left, ended = threading.Event(), threading.Event()

    async def hang(asked: Asked) -> web.StreamResponse:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()
        return await well(asked)

    server.answer = hang
    threading.Timer(0.5, left.set).start()
    with pytest.raises(Abandoned):
        Calls(opened(), lambda: not left.is_set(), 30.0).chat([{"role": "user", "content": "a"}])
    assert ended.wait(5)


def test_closing_ends_what_is_in_flight(opened, server):
    async def hang(asked: Asked) -> web.StreamResponse:
        await asyncio.sleep(30)
        return await well(asked)

    server.answer = hang
    client = opened()
    threading.Timer(0.5, client.close).start()
    with pytest.raises(NotReady, match="closed"):
        ask(client)


def test_as_many_are_in_flight_as_the_settings_allow(opened, server):
    async def slow(asked: Asked) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return await well(asked)

    server.answer = slow
    client = opened(openai_concurrency=5)
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda number: ask(client, str(number)), range(40)))
    assert server.at_once == 5


def test_a_rate_is_kept(opened, server):
    client = opened(openai_requests_per_minute=600)
    started = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: ask(client, str(number)), range(8)))
    assert time.monotonic() - started >= 0.65


def test_the_same_question_is_not_paid_for_twice(opened, server):
    client = opened()
    assert ask(client, seed=1) == ask(client, seed=1)
    assert len(server.asked) == 1
    ask(client, seed=2)
    assert len(server.asked) == 2


def test_a_model_that_changes_is_recorded_and_noticed(opened, server, capsys):
    async def answer(asked: Asked) -> web.StreamResponse:
        return web.json_response(completion(model=f"tiny-{asked.number}"))

    server.answer = answer
    client = opened()
    assert [ask(client, str(number)).usage.model for number in range(2)] == ["tiny-0", "tiny-1"]
    assert "reports another model" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "kept"), [("/home/me/a.gguf", "a.gguf"), ("C:\\a.gguf", "a.gguf"), ("org/a", "org/a")]
)
def test_a_path_is_no_name_of_a_model(opened, server, name, kept):
    async def answer(asked: Asked) -> web.StreamResponse:
        return web.json_response(completion(model=name))

    server.answer = answer
    assert ask(opened()).usage.model == kept


def test_extra_body_and_headers_are_sent_and_the_environment_is_not(opened, server, monkeypatch):
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Other: leaked")
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "leaked")
    client = opened(
        openai_api_key="",
        openai_headers='{"X-Mine": "secret-header"}',
        openai_extra_body='{"max_tokens": null, "max_completion_tokens": 7}',
    )
    ask(client, max_tokens=5)
    asked = server.asked[0]
    assert asked.headers["X-Mine"] == "secret-header"
    assert "leaked" not in json.dumps(dict(asked.headers)) and "Authorization" not in asked.headers
    assert asked.body["max_completion_tokens"] == 7 and "max_tokens" not in asked.body


def test_the_key_is_sent_and_is_in_no_text(opened, server, tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    client = opened(openai_api_key="", openai_api_key_file=str(file))
    ask(client)
    assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"
    settings = OpenAISettings(openai_api_key=KEY, openai_headers={"a": KEY})
    assert KEY not in repr(settings) + str(settings.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"openai_base_url": ""}, "no endpoint is set: OPENAI_BASE_URL"),
        ({"openai_model": ""}, "no model is set: OPENAI_MODEL"),
        ({"openai_api_key_file": "/does/not/exist"}, "cannot be read"),
        ({"openai_api_key": "two words"}, "one word of ASCII"),
    ],
)
def test_settings_without_which_nothing_works(opened, settings, words):
    with pytest.raises(NotReady, match=words) as caught:
        opened(**settings)
    assert isinstance(caught.value, MerrflowError) and "two words" not in str(caught.value)

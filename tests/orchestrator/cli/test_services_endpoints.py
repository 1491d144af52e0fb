"""What `merrflow services` says of a model behind an endpoint that cannot be used: one line, with what to do."""

from __future__ import annotations

import pytest
from aiohttp import web

from benchmarks.support.endpoint import Asked, FakeEndpoint, completion, error
from merrflow.cli.services import look
from merrflow_minigpt_v2 import SPEC
from merrflow_serving.server import Server
from tests.orchestrator.cli.test_services_command import shown

pytest.importorskip("openai")
NOWHERE = "http://127.0.0.1:9/v1"


async def no_key(asked: Asked) -> web.StreamResponse:
    return error(401, "Incorrect API key provided: sk-secret", code="invalid_api_key")


async def no_model(asked: Asked) -> web.StreamResponse:
    return error(404, "The model `tiny` does not exist.", code="model_not_found")


async def text_alone(asked: Asked) -> web.StreamResponse:
    """Like some servers: drops the picture without a word."""
    return web.json_response(completion(usage={"prompt_tokens": 7}))


async def no_picture(asked: Asked) -> web.StreamResponse:
    if "image_url" in asked.parts:
        return error(400, "image_url is only supported by certain models")
    return await text_alone(asked)


@pytest.mark.parametrize(
    ("answer", "settings", "says"),
    [
        (text_alone, {"openai_base_url": ""}, "no endpoint is set: MERRFLOW_MINIGPT_V2_OPENAI_BASE_URL, such as http"),
        (text_alone, {"openai_model": ""}, "no model is set: MERRFLOW_MINIGPT_V2_OPENAI_MODEL"),
        (text_alone, {"openai_base_url": NOWHERE}, "the endpoint 127.0.0.1:9 cannot be reached ("),
        (no_key, {}, "refuses the key (401): set MERRFLOW_MINIGPT_V2_OPENAI_API_KEY"),
        (no_model, {}, "does not know the model tiny, or MERRFLOW_MINIGPT_V2_OPENAI_BASE_URL is wrong"),
        (text_alone, {}, "reads no pictures: the server counts 7 tokens with one and without; set another model"),
        (no_picture, {}, "reads no pictures: the endpoint"),
    ],
    ids=["no endpoint", "no model", "nobody there", "wrong key", "unknown model", "picture dropped", "picture refused"],
)
async def test_one_line_says_what_is_wrong(answer, settings, says, monkeypatch):
    monkeypatch.setattr("merrflow_serving.openai.engine.LOAD_TRIES", 1)
    with FakeEndpoint(answer) as endpoint:
        given = {"engine": "openai", "openai_base_url": endpoint.url, "openai_model": "tiny", "port": 0} | settings
        server = Server(SPEC, SPEC.settings(**given))
        await server.start()
        try:
            await server.wait_ready()
            monkeypatch.setenv("MERRFLOW_MINIGPT_V2_ADDRESS", server.address)
            found = [one for one in await look(None) if one["service"] == "minigpt-v2"]
        finally:
            await server.stop()
    text = shown(found)
    problem, *others = [line for line in text.splitlines() if line.startswith("minigpt-v2: ")]
    assert says in problem and "sk-secret" not in text
    assert all("waiting to " in line for line in others), others
    assert found[0]["health"] == "NOT_SERVING"

"""An endpoint of the tests, and clients of it."""

from __future__ import annotations

from aiohttp import web

from benchmarks.support.endpoint import Asked, completion
from merrflow_serving.openai.client import Client
from merrflow_serving.openai.engine import Calls
from merrflow_serving.openai.replies import Reply

KEY = "sk-very-secret-0123456789"


async def well(asked: Asked) -> web.StreamResponse:
    return web.json_response(completion(f"to {asked.text}"))


def ask(client: Client, text: str = "a", seconds: float = 10.0, **body: object) -> Reply:
    calls = Calls(client, lambda: True, seconds)
    return calls.chat([{"role": "user", "content": text}], **body)

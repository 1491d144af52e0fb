"""The four services with the engine `openai`, through real gRPC, on an endpoint of the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from aiohttp import web

from benchmarks.support.endpoint import Asked, completion
from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow_serving.server import Server
from merrflow_serving.service import ServiceSpec

READS = 64  # tokens of a picture or a sound


def answering(text: str, **changes: Any) -> Any:
    """Answers every chat with this text; counts tokens by words, and by pictures and sounds."""

    async def answer(asked: Asked) -> web.StreamResponse:
        tokens = len(asked.text.split()) + READS * sum(part != "text" for part in asked.parts)
        usage = {"prompt_tokens": tokens, "completion_tokens": 5}
        return web.json_response(completion(text, usage=usage, **changes))

    return answer


@asynccontextmanager
async def serving(spec: ServiceSpec[Any], url: str, **settings: Any) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the service, once it serves or has a problem."""
    given = {"engine": "openai", "openai_base_url": url, "openai_model": "tiny", "port": 0} | settings
    server = Server(spec, spec.settings(**given))
    await server.start()
    await server.wait_ready()
    async with grpc.aio.insecure_channel(server.address) as channel:
        try:
            yield channel
        finally:
            await server.stop()


async def info_of(channel: grpc.aio.Channel) -> common_pb2.InfoResponse:
    return await common_pb2_grpc.EngineStub(channel).Info(common_pb2.InfoRequest())

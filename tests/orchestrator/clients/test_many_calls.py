"""Thousands of calls at once: each ends in a status that the service counts, and our client gets all answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import grpc
import pytest
from prometheus_client import generate_latest

import merrflow
from merrflow.common.v1 import common_pb2 as common
from merrflow.qwen_audio.v1 import qwen_audio_pb2 as pb
from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc as pb_grpc
from merrflow_serving.errors import MerrflowError, from_rpc_error
from merrflow_serving.server import Server
from merrflow_serving.settings import ServiceSettings
from tests.services.serving.toy import SPEC, Toy, ToyEngine

CALLS = 2000


@pytest.fixture(autouse=True)
def _fresh_engine() -> Iterator[None]:
    ToyEngine.hold.set()
    yield
    ToyEngine.batches = []


async def started(spec=SPEC, **settings) -> Server:
    made = Server(spec, ServiceSettings(**{"port": 0, "drain_seconds": 5, **settings}))
    await made.start()
    await made.wait_ready()
    return made


def counted(server: Server) -> Counter[tuple[str, str]]:
    """How many requests the metrics page has, by status and reason."""
    found: Counter[tuple[str, str]] = Counter()
    for line in generate_latest(server.service.metrics.registry).decode().splitlines():
        if line.startswith("merrflow_requests_total{") and 'rpc="Describe"' in line:
            code, reason = line.split('"')[1:4:2]
            found[code, reason] += int(float(line.rsplit(" ", 1)[1]))
    return +found


@pytest.mark.parametrize("connections", [1, 8])
async def test_2000_plain_calls_all_end_in_a_counted_status(connections: int) -> None:
    server = await started(max_queue=8)
    own = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(server.address, options=own) for _ in range(connections)]

    async def ask(number: int) -> tuple[str, str]:
        stub = pb_grpc.ToneDescriberStub(channels[number % connections])
        try:
            await stub.Describe(pb.DescribeRequest(audio=common.Media(data=b"x")))
        except grpc.aio.AioRpcError as error:
            refused = from_rpc_error(error)
            return refused.code.name, refused.reason
        return "OK", ""

    seen = Counter(await asyncio.gather(*map(ask, range(CALLS))))
    for channel in channels:
        await channel.close()
    assert set(seen) <= {("OK", ""), ("RESOURCE_EXHAUSTED", "QUEUE_FULL"), ("RESOURCE_EXHAUSTED", "CLIENT_LIMIT")}
    assert counted(server) == seen
    await server.stop()


async def all_answered(address: str, clients: int, calls: int) -> None:
    async def one(first: int) -> None:
        async with merrflow.AsyncClient("qwen-audio", address) as client:
            answers = await asyncio.gather(*(client.tone(b"%d" % n) for n in range(first, first + calls // clients)))
        assert [answer.value.text for answer in answers] == [str(n) for n in range(first, first + calls // clients)]

    await asyncio.gather(*(one(number * calls // clients) for number in range(clients)))


async def test_2000_calls_of_our_clients_are_all_answered_in_the_end() -> None:
    server = await started(max_queue=2)
    await all_answered(server.address, 20, CALLS)
    assert counted(server)["OK", ""] == CALLS and counted(server)["RESOURCE_EXHAUSTED", "QUEUE_FULL"]
    await server.stop()


class Overrun(Toy):
    """As a service that gRPC protects: of the first calls none reaches the engine."""

    async def Describe(self, request, context):  # noqa: N802
        turned_away.append(request)
        if len(turned_away) <= 30:
            raise MerrflowError("", code=grpc.StatusCode.CANCELLED, reason="CANCELLED")
        return await super().Describe(request, context)


turned_away: list[pb.DescribeRequest] = []


async def test_a_client_of_ours_tries_again_what_grpc_itself_turned_away() -> None:
    def register(service, server):
        pb_grpc.add_ToneDescriberServicer_to_server(Overrun(service), server)

    server = await started(spec=replace(SPEC, register=register))
    await all_answered(server.address, 2, 40)
    assert counted(server) == {("OK", ""): 40, ("CANCELLED", "CANCELLED"): 30}
    await server.stop()

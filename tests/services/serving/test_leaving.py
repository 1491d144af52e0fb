"""Callers that leave: their places are free at once, and what is still at work for them ends early."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import pytest
from prometheus_client import generate_latest

from merrflow.common.v1 import common_pb2 as common
from merrflow.qwen_audio.v1 import qwen_audio_pb2 as pb
from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc as pb_grpc
from merrflow_serving.batching import Batcher
from merrflow_serving.engine import Wanted
from merrflow_serving.errors import Abandoned, QueueFull
from merrflow_serving.server import Server
from merrflow_serving.settings import ServiceSettings
from tests.services.serving.toy import SPEC, ToyEngine


@pytest.fixture(autouse=True)
def _fresh_engine() -> Iterator[None]:
    ToyEngine.hold.clear()
    ToyEngine.batches = []
    yield
    ToyEngine.hold.set()


def batcher(run, thread: ThreadPoolExecutor, **limits) -> Batcher:
    made = Batcher(run, thread, **{"max_batch_size": 4, "max_delay": 0.0, "max_queue": 8} | limits)
    made.start()
    return made


async def cancelled(tasks: list[asyncio.Task]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_whoever_leaves_the_queue_makes_room_at_once() -> None:
    free = threading.Event()

    def run(items: list[int], wanted: Wanted) -> list[int]:
        free.wait(10)
        return items

    with ThreadPoolExecutor(1) as thread:
        made = batcher(run, thread, max_batch_size=1)
        held = asyncio.create_task(made.submit(0))
        await asyncio.sleep(0.05)
        for _ in range(3):  # each time the queue is full of callers that then leave
            waiting = [asyncio.create_task(made.submit(number)) for number in range(8)]
            await asyncio.sleep(0)
            with pytest.raises(QueueFull):
                await made.submit(9)
            await cancelled(waiting)
            assert made.waiting == 0
        stays = asyncio.create_task(made.submit(10))
        await asyncio.sleep(0)
        free.set()
        assert [(await held).result, (await stays).result] == [0, 10]
        await made.stop()


async def test_whoever_leaves_a_batch_that_fills_makes_room_in_it() -> None:
    batches: list[list[int]] = []

    def run(items: list[int], wanted: Wanted) -> list[int]:
        batches.append(list(items))
        return items

    with ThreadPoolExecutor(1) as thread:
        made = batcher(run, thread, max_delay=0.3)
        leaving = [asyncio.create_task(made.submit(number)) for number in range(3)]
        await asyncio.sleep(0.05)
        await cancelled(leaving)
        answers = await asyncio.gather(*(made.submit(number) for number in range(10, 14)))
        await made.stop()
    assert batches == [[10, 11, 12, 13]] and [answer.result for answer in answers] == batches[0]


async def test_an_engine_hears_who_is_still_wanted_and_the_next_batch_begins() -> None:
    seen: list[list[bool]] = []
    begun = threading.Event()

    def run(items: list[str], wanted: Wanted) -> list[object]:
        if "long" not in items:
            return items
        begun.set()
        while any(wanted(place) for place, item in enumerate(items) if item == "long"):
            time.sleep(0.01)
        seen.append([wanted(place) for place in range(len(items))])
        return [item if wanted(place) else Abandoned() for place, item in enumerate(items)]

    with ThreadPoolExecutor(1) as thread:
        made = batcher(run, thread, max_delay=0.05)
        beside = asyncio.create_task(made.submit("short"))
        long = [asyncio.create_task(made.submit("long")) for _ in range(2)]
        await asyncio.to_thread(begun.wait, 5)
        await cancelled(long)
        async with asyncio.timeout(2):
            assert (await beside).result == "short"
            assert (await made.submit("next")).result == "next"
        await made.stop()
    assert seen == [[True, False, False]]


async def test_an_error_of_a_batch_repeats_only_what_is_wanted() -> None:
    batches: list[list[str]] = []
    begun, left = threading.Event(), threading.Event()

    def run(items: list[str], wanted: Wanted) -> list[str]:
        batches.append(list(items))
        if len(items) > 1:
            begun.set()
            left.wait(5)
            raise Abandoned
        return items

    with ThreadPoolExecutor(1) as thread:
        made = batcher(run, thread, max_delay=0.05)
        first, second = asyncio.create_task(made.submit("leaves")), asyncio.create_task(made.submit("stays"))
        await asyncio.to_thread(begun.wait, 5)
        await cancelled([first])
        left.set()
        assert (await second).result == "stays"
        await made.stop()
    assert batches == [["leaves", "stays"], ["stays"]]


async def test_256_callers_that_have_left_take_no_place_of_a_service() -> None:
    """Row by row through gRPC: a full queue, all its callers leave, and others are taken while the batch is at work."""
    server = Server(SPEC, ServiceSettings(port=0, drain_seconds=1, max_batch_size=1))
    await server.start()
    await server.wait_ready()

    def ask(data: bytes):
        return stub.Describe(pb.DescribeRequest(audio=common.Media(data=data)))

    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = pb_grpc.ToneDescriberStub(channel)
            held = ask(b"hold")
            while ToyEngine.batches[-1:] != [[b"hold"]]:
                await asyncio.sleep(0.01)
            queue = server.service._batcher
            for _ in range(2):
                waiting = [ask(b"wait") for _ in range(256)]
                await until(lambda: queue.waiting == 256)
                for call in waiting:
                    call.cancel()
                await until(lambda: queue.waiting == 0)
            stays = ask(b"stays")
            await until(lambda: queue.waiting == 1)
            ToyEngine.hold.set()
            assert ((await held).text, (await stays).text) == ("HOLD", "STAYS")
            page = generate_latest(server.service.metrics.registry).decode()
    finally:
        ToyEngine.hold.set()
        await server.stop()
    assert [b"wait"] not in ToyEngine.batches
    assert 'merrflow_requests_total{code="CANCELLED",reason="",rpc="Describe",service="qwen-audio"} 512.0' in page


async def until(done) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(10):
            while not done():
                await asyncio.sleep(0.01)
    assert done()

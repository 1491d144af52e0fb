"""Batches that fill: clients that ask again as soon as they are answered come into one batch. And lanes."""

from __future__ import annotations

import asyncio
import faulthandler
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest

from merrflow_serving.batching import Batcher, EngineHung
from merrflow_serving.errors import EngineFault
from merrflow_serving.watchdog import Watchdog


@asynccontextmanager
async def at_work(run: Callable[[list[int]], list[int]], **limits: Any) -> AsyncIterator[Batcher]:
    """A batcher with one thread."""
    with ThreadPoolExecutor(1) as thread:
        batcher = Batcher(lambda items, wanted: run(items), thread, max_queue=64, **limits)
        batcher.start()
        try:
            yield batcher
        finally:
            await batcher.stop()


async def test_two_half_batches_become_one() -> None:
    sizes: list[int] = []

    def run(items: list[int]) -> list[int]:
        time.sleep(0.1)
        sizes.append(len(items))
        return items

    async with at_work(run, max_batch_size=16, max_delay=0.05) as batcher:

        async def client(late: float) -> None:
            await asyncio.sleep(late)
            for item in range(6):
                await batcher.submit(item)

        # the second half asks while the first is at work
        await asyncio.gather(*(client(0.0 if number < 4 else 0.08) for number in range(8)))
    assert sum(sizes) == 48
    assert sizes.count(8) >= 4  # all eight together, but for the beginning and the end


async def test_a_long_batch_is_worth_a_longer_wait_for_those_it_answered() -> None:
    """Eight clients in two halves that need some hundredths of a second to ask again, and a delay far below that."""
    sizes: list[int] = []

    def run(items: list[int]) -> list[int]:
        time.sleep(0.8)
        sizes.append(len(items))
        return items

    async with at_work(run, max_batch_size=16, max_delay=0.001) as batcher:

        async def client(late: float) -> None:
            await asyncio.sleep(late)
            for _ in range(3):
                await batcher.submit(1)
                await asyncio.sleep(0.01)

        await asyncio.gather(*(client(0.3 * (number % 2)) for number in range(8)))
    assert sizes[:2] == [4, 8] and len(sizes) <= 4, "not 4 and 4 in turns to the end"


async def test_an_error_that_cannot_be_printed_is_its_own_items_alone() -> None:
    class Mute(RuntimeError):  # the kind that is asked whether the device is gone
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def run(items: list[int]) -> list[int]:
        if 0 in items:
            raise Mute
        return items

    async with at_work(run, max_batch_size=4, max_delay=0.05) as batcher:
        answers = await asyncio.gather(*(batcher.submit(item) for item in range(4)), return_exceptions=True)
    assert isinstance(answers[0], EngineFault) and "cannot say how" in str(answers[0])
    assert [answer.result for answer in answers[1:]] == [1, 2, 3]


async def test_each_lane_works_on_a_batch_of_its_own() -> None:
    together = threading.Barrier(3, timeout=10)

    def run(items: list[int]) -> list[int]:
        together.wait()  # breaks unless three batches are in work at once
        return [-item for item in items]

    with ThreadPoolExecutor(3) as threads:
        batcher = Batcher(
            lambda items, wanted: run(items), threads, max_batch_size=1, max_delay=0.0, max_queue=64, lanes=3
        )
        batcher.start()
        answers = await asyncio.gather(*(batcher.submit(number) for number in range(1, 7)))
        await batcher.stop()
    assert [answer.result for answer in answers] == [-1, -2, -3, -4, -5, -6]
    assert {answer.batch_size for answer in answers} == {1}


async def test_a_lane_that_hangs_is_reported_and_the_others_continue() -> None:
    free, lost = threading.Event(), []

    def run(items: list[str]) -> list[str]:
        if items == ["hang"]:
            free.wait(10)
        return items

    with ThreadPoolExecutor(2) as threads:
        batcher = Batcher(
            lambda items, wanted: run(items), threads, max_batch_size=1, max_delay=0.0, max_queue=64, max_run=0.2,
            on_lost=lost.append, lanes=2,
        )  # fmt: skip
        batcher.start()
        hung = asyncio.create_task(batcher.submit("hang"))
        for number in range(5):
            assert (await batcher.submit(str(number))).result == str(number)
        assert not lost
        await asyncio.sleep(0.4)
        assert [type(error) for error in lost] == [EngineHung] and not hung.done()
        assert (await batcher.submit("after")).result == "after"
        free.set()
        assert (await hung).result == "hang"
        await batcher.stop()


def test_the_watchdog_is_set_to_the_earliest_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    now, timers = [100.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda left, exit: timers.append(left))
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: timers.append(None))
    watchdog = Watchdog(10.0)
    first, second = watchdog.over(), watchdog.over()
    first.__enter__()
    now[0] = 104.0
    second.__enter__()
    assert timers == [10.0, 6.0]
    first.__exit__(None, None, None)
    assert timers[-1] == 10.0  # the second's own
    second.__exit__(None, None, None)
    assert timers[-1] is None
    with Watchdog(0.0).over():
        pass
    assert len(timers) == 4

"""Batches that fill: clients that ask again as soon as they are answered come into one batch."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from merrflow_serving.batching import Batcher


async def test_two_half_batches_become_one() -> None:
    sizes: list[int] = []

    def run(items: list[int]) -> list[int]:
        time.sleep(0.1)
        sizes.append(len(items))
        return items

    with ThreadPoolExecutor(1) as thread:
        batcher = Batcher(run, thread, max_batch_size=16, max_delay=0.05, max_queue=64)
        batcher.start()

        async def client(late: float) -> None:
            await asyncio.sleep(late)
            for item in range(6):
                await batcher.submit(item)

        try:  # the second half asks while the first is at work
            await asyncio.gather(*(client(0.0 if number < 4 else 0.08) for number in range(8)))
        finally:
            await batcher.stop()
    assert sum(sizes) == 48
    assert sizes.count(8) >= 4  # all eight together, but for the beginning and the end

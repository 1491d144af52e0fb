"""Dynamic batching: many requests wait together, one thread runs the model.

A batch starts when it is full or its first request has waited `max_delay`. While it runs, the next fills, so
under load batches are full and nobody waits for the delay.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog

from merrflow_serving.errors import EngineFault, MerrflowError, QueueFull
from merrflow_serving.torch.lost import DeviceLost, is_lost

log = structlog.get_logger()


@dataclass(frozen=True)
class Answer:
    """An engine's result for one request, and where the time went."""

    result: Any
    queue_seconds: float
    model_seconds: float  # of the whole batch
    batch_size: int


@dataclass(frozen=True, eq=False)
class _Waiting:
    item: Any
    future: asyncio.Future[Answer]
    since: float


class Batcher:
    """Feeds `run` with batches from one thread. `start` before the first `submit`, `stop` at the end."""

    def __init__(
        self,
        run: Callable[[Sequence[Any]], list[Any]],
        thread: ThreadPoolExecutor,
        *,
        max_batch_size: int,
        max_delay: float,
        max_queue: int,
        observe: Callable[[int, float, list[float]], None] = lambda size, model, queue: None,
        on_lost: Callable[[DeviceLost], None] = lambda error: None,
    ) -> None:
        """`observe(batch size, model seconds, queue seconds of each)` is called after each batch, `on_lost` once its
        requests are answered where the engine's device is gone."""
        self._run = run
        self._thread = thread
        self.max_batch_size = max(1, max_batch_size)
        self._max_delay = max_delay
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(max_queue)
        self._observe = observe
        self._on_lost = on_lost
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._queue.qsize()

    def start(self) -> None:
        self._task = asyncio.create_task(self._work(), name="batcher")

    async def stop(self) -> None:
        """Ends the worker. Requests still waiting are cancelled; drain first."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while not self._queue.empty():
            self._queue.get_nowait().future.cancel()

    async def submit(self, item: Any) -> Answer:
        """Waits for the item's result. Raises the item's error, or `QueueFull` at once."""
        waiting = _Waiting(item, asyncio.get_running_loop().create_future(), time.monotonic())
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull:
            raise QueueFull(f"{self._queue.maxsize} requests wait already; try again later") from None
        return await waiting.future

    async def _work(self) -> None:
        while True:
            batch = await self._collect()
            # A caller that went away while waiting costs no model time.
            batch = [waiting for waiting in batch if not waiting.future.done()]
            if batch:
                await self._answer(batch)

    async def _collect(self) -> list[_Waiting]:
        batch = [await self._queue.get()]
        deadline = batch[0].since + self._max_delay
        while len(batch) < self.max_batch_size:
            if not self._queue.empty():
                batch.append(self._queue.get_nowait())
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                batch.append(await asyncio.wait_for(self._queue.get(), left))
            except TimeoutError:
                break
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        started = time.monotonic()
        items = [waiting.item for waiting in batch]
        results = await asyncio.get_running_loop().run_in_executor(self._thread, self._run_safely, items)
        model_seconds = time.monotonic() - started
        queue_seconds = [started - waiting.since for waiting in batch]
        self._observe(len(batch), model_seconds, queue_seconds)
        for waiting, result, queued in zip(batch, results, queue_seconds, strict=True):
            if waiting.future.done():
                continue
            if isinstance(result, BaseException):
                waiting.future.set_exception(result)
            else:
                waiting.future.set_result(Answer(result, queued, model_seconds, len(batch)))
        lost = next((result for result in results if isinstance(result, DeviceLost)), None)
        if lost:
            self._on_lost(lost)

    def _run_safely(self, items: list[Any]) -> list[Any]:
        """One result or error for each item, whatever the engine does. Runs on the model thread."""
        try:
            results = self._run(items)
            if len(results) != len(items):
                raise EngineFault(f"the engine gave {len(results)} results for {len(items)} items")
            return results
        except Exception as error:
            if is_lost(error):  # one by one would fail too, and wait for a dead device
                return [error if isinstance(error, DeviceLost) else DeviceLost(str(error))] * len(items)
            if len(items) > 1:  # find the item that broke the batch; its neighbours get their results
                return [self._run_safely([item])[0] for item in items]
            if isinstance(error, MerrflowError):
                return [error]
            log.exception("engine fault")
            return [EngineFault(f"the engine failed on this input: {type(error).__name__}: {error}")]

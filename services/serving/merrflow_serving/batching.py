"""Dynamic batching: many requests wait together, one thread runs the model (or several, for a `Parallel` engine).

A batch starts when it is full, or once its first request and the model have both waited `max_delay`. While it runs,
the next fills, so under load batches are full and nobody waits for the delay.

Whatever an engine does, each request gets an answer or an error. An engine that hangs cannot be stopped: then the
service gives up, and its requests stay unanswered until the process ends, so that clients see a lost connection and can
find out which request caused it.

A caller that leaves frees its place at once: in the queue, in a batch that still fills, and in a batch at work as far
as the engine `StopsEarly`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import structlog

from merrflow_serving.engine import Wanted
from merrflow_serving.errors import Abandoned, EngineFault, MerrflowError, QueueFull
from merrflow_serving.results import Expected
from merrflow_serving.torch.lost import DeviceLost, is_lost

log = structlog.get_logger()
RETURN_SHARE = 0.05  # of a batch's time, for which the next one waits for the clients that it answered


class EngineHung(MerrflowError):
    """The engine did not return from a batch; only the end of its process frees it."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "ENGINE_HUNG"


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
    """Calls `run` with batches, one at a time in each lane. `start` before the first `submit`, `stop` at the end."""

    def __init__(
        self,
        run: Callable[[Sequence[Any], Wanted], Sequence[Any]],
        threads: ThreadPoolExecutor,
        *,
        max_batch_size: int,
        max_delay: float,
        max_queue: int,
        observe: Callable[[int, float, list[float]], None] = lambda size, model, queue: None,
        on_lost: Callable[[MerrflowError], None] = lambda error: None,
        max_run: float = 0.0,
        guard: Callable[[], AbstractContextManager[Any]] = nullcontext,
        lanes: int = 1,
        expected: Expected = Expected(),  # noqa: B008 - it is frozen
    ) -> None:
        """`run(items, wanted)`: see `StopsEarly`. `observe(batch size, model seconds, queue seconds of each)` is called
        after each batch. `on_lost` is called if the engine's device is gone, once the batch's requests are answered,
        and if a batch takes longer than `max_run` seconds (0: no limit). `guard` makes a context around each batch.
        `lanes`: how many batches run at once, each on one of as many `threads`. `expected`: the results of `run`."""
        self._run = run
        self._threads = threads
        self.max_batch_size = max(1, max_batch_size)
        self._max_delay = max_delay
        self._max_queue = max_queue
        self._queue: dict[_Waiting, None] = {}  # in order of arrival; who leaves is removed wherever it is
        self._arrived = asyncio.Event()  # cleared only while the queue is empty
        self._observe = observe
        self._on_lost = on_lost
        self._max_run = max_run
        self._guard = guard
        self._lanes = lanes
        self._expected = expected
        self._tasks: list[asyncio.Task[None]] = []
        self._free_since = 0.0  # monotonic time at which the last batch ended
        self._last_seconds = 0.0  # how long it took

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    def limit_batches(self, size: int) -> None:
        """Changes the largest number of requests in a batch, from the next batch on."""
        self.max_batch_size = max(1, size)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work(), name=f"batcher {lane}") for lane in range(self._lanes)]

    async def stop(self) -> None:
        """Ends all lanes. Requests still waiting are cancelled; drain first."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for waiting in self._queue:
            waiting.future.cancel()

    async def submit(self, item: Any) -> Answer:
        """Waits for the item's result. Raises the item's error, or `QueueFull` at once."""
        if len(self._queue) >= self._max_queue:
            raise QueueFull(f"{self._max_queue} requests wait already; try again later")
        waiting = _Waiting(item, asyncio.get_running_loop().create_future(), time.monotonic())
        self._queue[waiting] = None
        self._arrived.set()
        try:
            return await waiting.future
        finally:
            self._queue.pop(waiting, None)

    async def _work(self) -> None:
        while True:
            if batch := await self._collect():
                with self._guard():
                    await self._answer(batch)

    async def _collect(self) -> list[_Waiting]:
        """The next batch; empty if all of its callers left while it filled."""
        await self._arrival()
        batch = [self._take()]
        # Clients that the last batch answered often ask again at once. If this batch did not wait for them too, for a
        # small share of the time that it takes, they would miss it each time, and two half batches would alternate.
        for_old = max(self._max_delay, RETURN_SHARE * self._last_seconds) if self._max_delay else 0.0
        deadline = max(batch[0].since + self._max_delay, self._free_since + for_old)
        while batch := [waiting for waiting in batch if not waiting.future.done()]:
            left = deadline - time.monotonic()
            if len(batch) >= self.max_batch_size or (left <= 0 and not self._queue):
                break
            if self._queue:
                batch.append(self._take())
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrival(), left)
        return batch

    async def _arrival(self) -> None:
        """Returns once a request waits."""
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()

    def _take(self) -> _Waiting:
        """Takes the first of the queue."""
        waiting = next(iter(self._queue))
        del self._queue[waiting]
        return waiting

    async def _answer(self, batch: list[_Waiting]) -> None:
        started = time.monotonic()
        items = [waiting.item for waiting in batch]

        def wanted(place: int) -> bool:
            return not batch[place].future.done()

        work = asyncio.get_running_loop().run_in_executor(self._threads, self._run_safely, items, wanted)
        if not (await asyncio.wait([work], timeout=self._max_run or None))[0]:
            self._on_lost(EngineHung(f"the engine has been at work on one batch for {self._max_run:.0f} s"))
        try:
            results = await work
        except Exception:  # such as an error of the engine that cannot even be printed; the queue must continue
            log.exception("engine fault")
            results = [EngineFault(f"{self._expected.engine} failed on this input, and cannot say how")] * len(batch)
        self._free_since = time.monotonic()
        model_seconds = self._last_seconds = time.monotonic() - started
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

    def _run_safely(self, items: list[Any], wanted: Wanted) -> list[Any]:
        """One result or error for each item, whatever the engine does. Called on the model thread."""
        try:
            return self._expected.one_each(items, self._run(items, wanted))
        except BaseException as error:  # SystemExit and its like would end the service
            if is_lost(error):  # one by one they would fail too, after waiting for a dead device
                return [error if isinstance(error, DeviceLost) else DeviceLost(str(error))] * len(items)
            if len(items) > 1:  # find the item that broke the batch; its neighbours get their results
                return [self._run_alone(item, partial(wanted, place)) for place, item in enumerate(items)]
            if isinstance(error, MerrflowError):
                return [self._expected.error(error)]
            log.exception("engine fault")
            return [self._expected.fault(error)]

    def _run_alone(self, item: Any, is_wanted: Callable[[], bool]) -> Any:
        return self._run_safely([item], lambda _: is_wanted())[0] if is_wanted() else Abandoned()

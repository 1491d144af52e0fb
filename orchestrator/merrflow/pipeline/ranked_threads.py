"""Threads for blocking work, which take what finishes clips before what begins new ones."""

from __future__ import annotations

import asyncio
import heapq
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from itertools import count
from typing import Any, TypeVar

from merrflow.stages.stage import InThread

Value = TypeVar("Value")


class RankedThreads:
    """Runs what has the lowest rank first, and within a rank what came first. As a context manager it ends when all is
    done."""

    def __init__(self, threads: int) -> None:
        self._waiting: list[tuple[int, int, Future[Any], Callable[[], Any]]] = []
        self._numbers = count()
        self._changed = threading.Condition()
        self._closing = False
        self._threads = [threading.Thread(target=self._work, name=f"stage-{n}", daemon=True) for n in range(threads)]

    def __enter__(self) -> RankedThreads:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def of_rank(self, rank: int) -> InThread:
        """Where a clip's work is to run. rank: its number in the order in which the run began them."""
        return partial(self._run, rank)

    def _run(self, rank: int, function: Callable[..., Value], *arguments: Any) -> asyncio.Future[Value]:
        """Raises `RuntimeError` once it is closed."""
        future: Future[Value] = Future()
        with self._changed:
            if self._closing:
                raise RuntimeError("the run has ended")
            work: Callable[[], Any] = partial(function, *arguments)
            heapq.heappush(self._waiting, (rank, next(self._numbers), future, work))
            self._changed.notify()
        return asyncio.wrap_future(future)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                *_, future, function = heapq.heappop(self._waiting)
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:
                    future.set_exception(error)
            del future, function  # neither a result nor its arguments stay with an idle thread

"""Which replica works next: calls wait in one queue, and each gets the idlest replica that is ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from merrflow.clients.replica import Replica, State

CHECK_SECONDS = 1.0  # how often a call that waits checks whether there is still something to wait for


@dataclass(frozen=True, eq=False)
class _Waiting:
    future: asyncio.Future[Replica]
    avoid: Replica | None
    is_suspect: bool
    alone: bool


class WaitQueue:
    """Gives out replicas, none to more calls than it has room for."""

    def __init__(self, replicas: Iterable[Replica], check: Callable[[float], None]) -> None:
        """check: called with the loop time since when a call waits; raises if it waits in vain."""
        self._replicas = replicas
        self._check = check
        self._waiting: dict[_Waiting, None] = {}
        self._calls = 0
        self._is_cancelled = False
        self._exclusive: set[Replica] = set()  # in use by a call that works alone

    @asynccontextmanager
    async def borrow(self, avoid: Replica | None, is_suspect: bool, alone: bool = False) -> AsyncIterator[Replica]:
        """A replica, for as long as the block lasts. See `Replicas.borrow`."""
        replica = await self._take(avoid, is_suspect, alone)
        try:
            yield replica
        finally:
            self._give_back(replica, is_suspect)

    async def _take(self, avoid: Replica | None, is_suspect: bool, alone: bool) -> Replica:
        loop = asyncio.get_running_loop()
        since = loop.time()
        if self._is_cancelled:
            raise asyncio.CancelledError
        waiting = _Waiting(loop.create_future(), avoid, is_suspect, alone)
        self._waiting[waiting] = None
        self.assign()
        try:
            while not waiting.future.done():
                self._check(since)
                await asyncio.wait({waiting.future}, timeout=CHECK_SECONDS)
            return waiting.future.result()
        except BaseException:
            if waiting.future.done() and not waiting.future.cancelled():  # assigned, and nobody is there to take it
                self._give_back(waiting.future.result(), is_suspect)
            raise
        finally:
            self._waiting.pop(waiting, None)

    def _give_back(self, replica: Replica, is_suspect: bool) -> None:
        replica.end_call(is_suspect)
        self._exclusive.discard(replica)
        self.assign()

    def assign(self) -> None:
        """Gives replicas to waiting calls as far as there is room. Called whenever there may be more."""
        kept = set(self._exclusive)  # from all calls further back in the queue
        for waiting in list(self._waiting):
            ready = [replica for replica in self._replicas if replica.state is State.READY and replica not in kept]
            free = [replica for replica in ready if replica.has_room]
            if not free:
                return
            if waiting.is_suspect:
                free = [replica for replica in free if not replica.has_suspect]
            if waiting.alone:
                idle = [replica for replica in free if not replica.in_flight]
                if not idle:  # the next to be idle is kept for it
                    kept.add(min(ready, key=lambda one: (one is waiting.avoid, one.in_flight)))
                free = idle
            if free and waiting.alone:
                kept.add(free[0])
                self._give(free[0], waiting)
            elif free:
                self._give(min(free, key=lambda one: (one is waiting.avoid, one.load, one.last_call)), waiting)

    def _give(self, replica: Replica, waiting: _Waiting) -> None:
        self._calls += 1
        replica.begin_call(self._calls, waiting.is_suspect)
        if waiting.alone:
            self._exclusive.add(replica)
        del self._waiting[waiting]
        waiting.future.set_result(replica)

    def cancel(self) -> None:
        """Nothing will be given out any more; calls that wait, now or later, are cancelled."""
        self._is_cancelled = True
        for waiting in self._waiting:
            waiting.future.cancel()
        self._waiting.clear()  # before a call that ends gives its replica back

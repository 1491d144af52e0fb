"""The wait queue of calls when its client closes."""

from __future__ import annotations

import asyncio

import pytest

from merrflow.clients.replica import State
from merrflow.clients.wait_queue import WaitQueue


class OneAtATime:
    """What a wait queue knows of a replica."""

    state, has_suspect, load, last_call = State.READY, False, 0.0, 0
    in_flight = 0

    @property
    def has_room(self) -> bool:
        return not self.in_flight

    def begin_call(self, number: int, is_suspect: bool) -> None:
        self.in_flight += 1

    def end_call(self, is_suspect: bool) -> None:
        self.in_flight -= 1


async def test_a_call_that_ends_as_the_queue_closes_gives_its_replica_to_nobody():
    replica = OneAtATime()
    queue = WaitQueue([replica], lambda since: None)  # type: ignore[list-item]
    async with queue.borrow(None, False):
        waiting = asyncio.create_task(queue.borrow(None, False).__aenter__())
        await asyncio.sleep(0.01)
        queue.cancel()
    assert not replica.in_flight
    for call in (waiting, asyncio.create_task(queue.borrow(None, False).__aenter__())):
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(call, 5)

"""That somebody said something, to pages that listen (server-sent events, WHATWG HTML 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool

LOOK = 0.5  # seconds between two looks at the ledger, to which other processes add, too
STILL_HERE = (
    15.0  # seconds after which a stream says again what it said: that it lives, and to see whether the page does
)


async def news(
    version: Callable[[], int], ending: asyncio.Event, look: float = LOOK, still_here: float = STILL_HERE
) -> AsyncIterator[str]:
    """An event with the version of what everybody said, now and whenever it is another, until the server ends.

    version: blocking.
    """
    loop = asyncio.get_running_loop()
    said, at = -1, 0.0
    while not ending.is_set():
        now = await run_in_threadpool(version)
        if now != said or loop.time() - at >= still_here:
            said, at = now, loop.time()
            yield f"data: {now}\n\n"
        try:
            await asyncio.wait_for(ending.wait(), look)
        except TimeoutError:
            continue

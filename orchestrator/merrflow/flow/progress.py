"""How far a run or shard is, in Prefect's UI: in per cent before its name, and as an artifact."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from prefect import runtime
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.client.orchestration import get_client

from merrflow.flow.artifacts import if_prefect_answers

PROGRESS_SECONDS = 2.0  # between two updates; one costs 12 ms, and another 10 if the per cent are others
PAUSE_SHARE = 20  # times as long as the last update took, at least: to count a million outcomes takes seconds


@asynccontextmanager
async def progress(total: int, finished: Callable[[], Awaitable[float]], *, description: str) -> AsyncIterator[None]:
    """Shows the progress of the block every few seconds. finished: returns how many clips are done.

    The name of the flow run begins with the per cent, since lists and the run's page show it without a click, and cut
    its end off if it is long. Once all clips are through it is what it was; after a failure the per cent stay.
    """
    shown = _Shown(total, description)
    async with if_prefect_answers():
        await shown.begin()

    async def show() -> None:
        async with if_prefect_answers():
            await shown.at(min(await finished(), total))

    async def update() -> None:
        pause = PROGRESS_SECONDS
        while True:
            await asyncio.sleep(pause)
            started = time.monotonic()
            await show()
            pause = max(PROGRESS_SECONDS, PAUSE_SHARE * (time.monotonic() - started))

    updating = asyncio.create_task(update())
    try:
        yield
    finally:
        updating.cancel()
        await asyncio.gather(updating, return_exceptions=True)
        await show()


class _Shown:
    """What was shown last."""

    def __init__(self, total: int, description: str) -> None:
        self._total = total
        self._description = description
        self._name = ""  # of the flow run, without per cent
        self._artifact: Any = None
        self._count = -1.0
        self._named = ""

    async def begin(self) -> None:
        self._name = self._named = str(runtime.flow_run.name)
        self._artifact = await acreate_progress_artifact(
            progress=0.0, key="merrflow-progress", description=self._description
        )

    async def at(self, count: float) -> None:
        """So many clips are done."""
        if count == self._count:
            return
        self._count = count
        share = 100.0 * count / self._total if self._total else 100.0
        if self._artifact:
            await aupdate_progress_artifact(self._artifact, progress=share)
        await self._rename(f"{int(share + 1e-6)} %: {self._name}" if share < 100 - 1e-6 else self._name)

    async def _rename(self, name: str) -> None:
        if self._name and name != self._named:
            self._named = name
            async with get_client() as client:
                await client.update_flow_run(runtime.flow_run.id, name=name)

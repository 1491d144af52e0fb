"""The work of a run, which needs no Prefect: it begins at once, and goes on if Prefect comes late, or never, or leaves.

What Prefect shows of it (annotate.py) is kept here until somebody asks.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from merrflow.core.errors import ungrouped, writing_outputs
from merrflow.datasets.outputs import Summary
from merrflow.flow.run_log import Lines, Tenths, logged_events
from merrflow.flow.service_progress import ServiceProgress, counted
from merrflow.pipeline.pause import Round
from merrflow.pipeline.process_wide import set_for_a_run
from merrflow.pipeline.session import Session

T = TypeVar("T")


class Shard:
    """Some clips of a run, in work."""

    def __init__(
        self,
        number: int,
        total: int,
        names: Sequence[str],
        progress: ServiceProgress,
        task: asyncio.Task[Counter[str]],
    ) -> None:
        """number: from 1, of the `total` shards of its round."""
        self.number = number
        self.total = total
        self.names = names
        self.progress = progress
        self._task = task

    async def over(self) -> dict[str, int]:
        """Returns once it is over: the number of clips by outcome. Raises what stopped it."""
        counts = await _ended(self._task)
        return {str(outcome): count for outcome, count in counts.items()}


class Work:
    """All of a session's clips to their outcomes, then the output files."""

    def __init__(self, session: Session, what: str = "", *, writes: bool = True) -> None:
        """Begins. what: of which work, for the log. writes: whether the output files are this process's to write."""
        self.session = session
        self.total = len(session.todo)
        self.what = what or f"{self.total} clips into {session.out}"
        self.done = 0.0  # clips, or parts of one
        self.is_shown = False  # whether somebody listens
        self.lines = Lines()
        self._tenths = Tenths(self.lines, self.total, self.what)
        self._writes = writes
        self._first = asyncio.Event()
        self._begun: asyncio.Queue[Shard | None] = asyncio.Queue()
        self._is_watched = True
        self._shard_failed = False
        self._task = asyncio.create_task(self._run())

    async def over(self) -> Summary | None:
        """Returns once all is done and written. Raises what stopped it. Whoever waits may leave: the work goes on."""
        return await _ended(self._task)

    async def finished(self) -> float:
        """How many clips are done."""
        return self.done

    async def first_outcome(self, seconds: float) -> None:
        """Returns once a clip is done, all is over, or so many seconds have passed."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._first.wait(), seconds)

    @property
    def is_over(self) -> bool:
        return self._task.done()

    @property
    def has_failed(self) -> bool:
        """Also while it still ends, which takes a while: other shards are cancelled, and what is done is written."""
        return self._shard_failed or (self.is_over and (self._task.cancelled() or self._task.exception() is not None))

    async def stop(self) -> None:
        """Cancels what is not done yet; what is done is written out. Returns once it has ended."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def shards(self) -> AsyncIterator[Shard]:
        """Each shard once it has begun; for one listener, who may come late."""
        self.is_shown = True
        while shard := await self._begun.get():
            yield shard

    def unwatch(self) -> None:
        """Nobody will ask for shards and lines any more."""
        self._is_watched = False
        while not self._begun.empty():
            self._begun.get_nowait()
        self.lines.to(lambda level, line: None)

    async def _run(self) -> Summary | None:
        session = self.session
        try:
            with session.advanced.connected(self._advance), logged_events(session, self.lines):
                await session.wait_ready()
                try:
                    with set_for_a_run():
                        async for clips in session.rounds():
                            await self._round(clips)
                finally:  # however the shards ended, what is done is written out
                    self._begun.put_nowait(None)
                    if self._writes:
                        with writing_outputs(session.out):
                            await asyncio.to_thread(session.write_outputs)
        finally:
            self._begun.put_nowait(None)
            self._first.set()
        return session.summary

    def _advance(self, clips: float) -> None:
        self.done += clips
        self._first.set()
        self._tenths.at(self.done)

    async def _round(self, clips: Round) -> None:
        parts = split(self.session, clips.names)
        places = asyncio.Semaphore(shards_at_once(self.session.clips_at_once, self.session.settings.shard_size))

        async def one(number: int, names: list[str]) -> None:
            async with places:
                with counted(self.session, names, clips.absent) as progress:
                    task = asyncio.create_task(self.session.annotate(names, clips.absent))
                    if self._is_watched:
                        self._begun.put_nowait(Shard(number, len(parts), names, progress, task))
                    try:
                        await task
                    except Exception:  # known before whoever shows the shard is told
                        self._shard_failed = True
                        raise

        with ungrouped():
            async with asyncio.TaskGroup() as group:
                for number, names in enumerate(parts, 1):
                    group.create_task(one(number, names))


@asynccontextmanager
async def working(session: Session, what: str = "", *, writes: bool = True) -> AsyncIterator[Work]:
    """A session's work, which is over when the block is left, unless that was cancelled; then it is stopped.

    If the work itself failed, its error goes before the block's.
    """
    work = Work(session, what, writes=writes)
    try:
        yield work
    except Exception:
        await work.over()
        raise
    finally:
        await work.stop()


def split(session: Session, names: Sequence[str]) -> list[list[str]]:
    """Clips as shards."""
    size = session.settings.shard_size
    return [list(names[start : start + size]) for start in range(0, len(names), size)]


def shards_at_once(clips_at_once: int, shard_size: int) -> int:
    """One that runs out of clips, and others with twice as many as are in work, so that the services stay busy."""
    return 1 + math.ceil(2 * clips_at_once / shard_size)


async def _ended(task: asyncio.Task[T]) -> T:
    """A task's result, without cancelling the task if the waiting is."""
    await asyncio.wait({task})
    return task.result()

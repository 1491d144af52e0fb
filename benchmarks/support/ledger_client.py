"""A process that does to a ledger what a worker does for each clip of its shards, at a worker's speed.

    python -m benchmarks.support.ledger_client TASK.json

Everything but the ledger is left out: a stage is a pause. The locks, reads and grouped writes are a worker's own.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import string
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from merrflow.core.measurements import Clip
from merrflow.core.records import Outcome
from merrflow.store import RECORD, GroupedWrites, Ledger, StageRow, StageWrite, batched
from merrflow.store.locks import Locks, LockTaken, locks_at

# Bytes of each stage's row in the ledger: of the clip surprise_visit.mp4 (3.4 s, 86 frames) with the embedded engines.
STAGES = {
    "probe": 703,
    "action_units": 10_656,
    "subtitle": 134,
    "scene": 809,
    "tone": 838,
    "score_all": 559,
    "reasoning": 538,
    RECORD: 5_882,
}
THREADS = 4  # that look up, as in a run
LATENCY = 0.5  # seconds that a stage takes
LOOK_SECONDS = 0.5  # between two looks for a shard that another process may have left
# That the lock of a begun shard must be free for, before its process counts as dead. A server that restarts frees the
# locks of living processes, too, who take them back within some seconds; a worker is as patient (zombie_runs.py).
LEFT_SECONDS = 12.0


@dataclass(frozen=True)
class Task:
    """What one process is to do."""

    out: str
    url: str
    shards: list[list[str]]  # names of all shards' clips; which are this process's own is decided by locks
    first: int  # the shard to begin with
    rate: float  # clips a second; 0: as fast as it can
    at_once: int
    done: str  # file for a line for each stage that was done: clip and stage
    notes: str  # file for the figures


class Client:
    """The process. `work` returns once all shards are finished, by whichever process."""

    def __init__(self, task: Task, ledger: Ledger, threads: ThreadPoolExecutor, writes: GroupedWrites) -> None:
        self._task = task
        self._ledger = ledger
        self._threads = threads
        self._writes = writes
        self._done = os.open(task.done, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._free_since: dict[int, float] = {}  # shard, begun by another -> when its lock was first found free
        self._payloads = {stage: _json(size) for stage, size in STAGES.items()}
        self.waits: list[float] = []  # seconds until a row was committed
        self.reads: list[float] = []  # seconds until a clip's rows were there
        self.clips = 0

    async def work(self) -> None:
        locks = locks_at(Path(self._task.out), self._task.url)
        left = list(range(len(self._task.shards)))
        left = left[self._task.first :] + left[: self._task.first]
        while left:
            for number in list(left):
                names = self._task.shards[number]
                if len(await self._ask(partial(self._ledger.finished, names))) == len(names):
                    left.remove(number)
                    continue
                if not self._is_first(number) and not await asyncio.to_thread(self._is_left, locks, number):
                    continue
                hold = locks.hold(f"shard-{number}")
                try:
                    await asyncio.to_thread(hold.__enter__)
                except (LockTaken, SQLAlchemyError):  # another process was quicker, or the server is away
                    continue
                try:
                    await self._shard(names)
                finally:
                    await asyncio.to_thread(hold.__exit__, None, None, None)
                left.remove(number)
            await asyncio.sleep(LOOK_SECONDS if left else 0)

    def _is_first(self, number: int) -> bool:
        """Whether this process is the one to begin a shard: each is handed out once, as Prefect does it."""
        try:
            Path(self._task.out, f"shard-{number}.begun").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _is_left(self, locks: Locks, number: int) -> bool:
        """Whether the process that has begun a shard counts as dead."""
        try:
            is_free = locks.is_free(f"shard-{number}")
        except SQLAlchemyError:  # the server is away, so that nothing is known
            is_free = False
        if not is_free:
            self._free_since.pop(number, None)
            return False
        return time.monotonic() - self._free_since.setdefault(number, time.monotonic()) >= LEFT_SECONDS

    async def _shard(self, names: list[str]) -> None:
        clips = await self._ask(partial(self._ledger.named, names))
        finished = await self._ask(partial(self._ledger.finished, names))
        places = asyncio.Semaphore(self._task.at_once)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, clip in enumerate(clip for clip in clips if clip.name not in finished):
                await places.acquire()
                if self._task.rate:
                    await asyncio.sleep(max(0.0, began + number / self._task.rate - time.monotonic()))
                group.create_task(self._clip(clip, places))

    async def _clip(self, clip: Clip, places: asyncio.Semaphore) -> None:
        started = time.monotonic()
        rows = await self._ask(partial(self._ledger.stages, clip))
        self.reads.append(time.monotonic() - started)
        for stage in STAGES:
            key = f"{clip.sha256[:24]}{stage}"
            if (stage, key) in rows:
                continue
            if self._task.rate:
                await asyncio.sleep(LATENCY * random.uniform(0.5, 1.5))
            os.write(self._done, f"{clip.name} {stage}\n".encode())
            row = StageRow(Outcome.DONE, "", self._payloads[stage], LATENCY)
            started = time.monotonic()
            await asyncio.wrap_future(self._writes.put(StageWrite(clip.name, stage, key, row)))
            self.waits.append(time.monotonic() - started)
        self.clips += 1
        places.release()

    async def _ask(self, function: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)


def _json(size: int) -> bytes:
    """JSON that zlib makes as small as `size` bytes: a string of random letters, of which each takes six bits."""
    letters = string.ascii_letters + string.digits + "-+"
    return f'"{"".join(random.Random(size).choices(letters, k=size * 8 // 6))}"'.encode()


def done(files: Iterator[Path]) -> Counter[tuple[str, str]]:
    """How many times each stage of each clip was done, by the files of some processes."""
    lines = (line.split() for file in files for line in file.read_text().splitlines())
    return Counter((line[0], line[1]) for line in lines)


def shards_of(names: list[str], size: int) -> list[list[str]]:
    """The names in lists of `size`."""
    return list(batched(names, size))


def main() -> None:
    """One process, to its end."""
    task = Task(**json.loads(Path(sys.argv[1]).read_text()))
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    with (
        closing(Ledger.in_folder(Path(task.out), task.url, make=False)) as ledger,
        ThreadPoolExecutor(THREADS) as threads,
        GroupedWrites(ledger.write) as writes,
    ):
        client = Client(task, ledger, threads, writes)
        asyncio.run(client.work())
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = {"waits": client.waits, "reads": client.reads, "clips": client.clips, "cpu_s": cpu}
    Path(task.notes).write_text(json.dumps(found | {"s": time.monotonic() - started, "mib": after.ru_maxrss / 1024}))


if __name__ == "__main__":
    main()

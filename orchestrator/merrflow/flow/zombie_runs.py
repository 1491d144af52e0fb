"""Zombie runs: flow runs whose process is gone, although Prefect calls them Running. They are started again.

Prefect's server does not notice that a worker was killed. But each flow run holds a lock for as long as its process
lives (shards.py). So a run whose lock is free several times in a row is dead, and is scheduled again for any worker.
Every worker has a detector; it does no harm if two of them schedule the same run.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import PrefectException
from prefect.states import AwaitingRetry, Failed
from sqlalchemy.exc import SQLAlchemyError

from merrflow.flow.names import MAX_STARTS, TAG, run_lock
from merrflow.flow.service_tasks import end_leftovers
from merrflow.store.locks import locks_at

LOOK_SECONDS = 10.0
LOOKS = 3  # in a row, before a run counts as dead; a database that restarts frees its locks for some seconds
# A run that is being started has no lock yet: a process takes seconds, a cluster's job may wait for a machine.
START_SECONDS = {"process": 90.0}
LONG_START_SECONDS = 3600.0
_LIVING = [StateType.PENDING.value, StateType.RUNNING.value, StateType.CRASHED.value]
log = logging.getLogger(__name__)


class ZombieRunDetector:
    """Watches the flow runs of a work pool, and reschedules those whose process has died."""

    def __init__(self, pool: str, kind: str, ledger_url: str) -> None:
        self._pool = pool
        self._start = timedelta(seconds=START_SECONDS.get(kind, LONG_START_SECONDS))
        self._ledger_url = ledger_url
        self._missed: Counter[str] = Counter()

    async def watch(self) -> None:
        """Looks every few seconds, forever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                async with get_client() as client:
                    await self.look(client)
            except (httpx.HTTPError, PrefectException, SQLAlchemyError, OSError) as error:
                self._missed.clear()  # nothing is known, so no run counts as dead
                log.warning("cannot check for zombie runs now: %s", str(error).splitlines()[0] if str(error) else error)

    async def look(self, client: PrefectClient) -> None:
        """One look. Reschedules runs that were found dead `LOOKS` times in a row."""
        dead = [run for run in await self._runs(client) if await self._is_dead(run)]
        names = {str(run.id) for run in dead}
        self._missed = Counter({name: count for name, count in self._missed.items() if name in names})
        self._missed.update(names)
        for run in dead:
            if self._missed[str(run.id)] >= LOOKS:
                del self._missed[str(run.id)]
                await self._revive(client, run)

    async def _runs(self, client: PrefectClient) -> list[FlowRun]:
        wanted = FlowRunFilter.model_validate({"state": {"type": {"any_": _LIVING}}, "tags": {"all_": [TAG]}})
        runs: list[FlowRun] = []
        while page := await client.read_flow_runs(flow_run_filter=wanted, limit=200, offset=len(runs)):
            runs += page
        return [run for run in runs if run.work_pool_name == self._pool]

    async def _is_dead(self, run: FlowRun) -> bool:
        if run.state is None:
            return False
        # A run that has not begun has no lock yet, so for a while it does not count as dead.
        if run.state.type is StateType.PENDING and _age(run) < self._start:
            return False
        locks = locks_at(Path(str(run.parameters.get("out"))), self._ledger_url)
        return await asyncio.to_thread(locks.is_free, run_lock(run.id))

    async def _revive(self, client: PrefectClient, run: FlowRun) -> None:
        current = await client.read_flow_run(run.id)
        if current.state is None or run.state is None or current.state.id != run.state.id:
            return  # its state changed meanwhile
        if current.run_count >= MAX_STARTS:
            message = f"its process died {current.run_count} times; the worker's log may say why"
            await client.set_flow_run_state(run.id, Failed(message=message), force=True)
            await end_leftovers(client, run.id, message)
        else:
            message = "its process is gone; another worker continues from here"
            await client.set_flow_run_state(run.id, AwaitingRetry(message=message), force=True)
        log.warning("%s: %s", run.name, message)


def _age(run: FlowRun) -> timedelta:
    return datetime.now(UTC) - run.state.timestamp if run.state else timedelta()

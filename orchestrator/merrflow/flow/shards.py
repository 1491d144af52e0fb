"""A run's shards as flow runs of their own, which any worker of the pool may take.

The run only waits for them. What they have done is in the ledger alone, so any of them may die and be started again by
another worker (zombie_runs.py): a shard continues with its own missing clips; a run first waits for the shards that are
still running, and then hands out what is left.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import get_run_logger, runtime
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import arun_deployment
from prefect.states import Cancelling

from merrflow.flow.names import ANNOTATE_SHARD, WORKER_PID, out_tag, run_lock
from merrflow.pipeline.request import Request
from merrflow.store.locks import LockTaken, locks_at
from merrflow_serving.parent import end

POLL_SECONDS = 2.0
TAKE_OVER_SECONDS = 30.0  # for the lock of a process that has just died
LEAVE_SECONDS = 40.0  # to write out what is done, once the worker was killed
_PAGE = 200  # the most flow runs that the server lists at once
_UNFINISHED = [
    kind.value
    for kind in (
        StateType.SCHEDULED,
        StateType.PENDING,
        StateType.RUNNING,
        StateType.CANCELLING,
        StateType.PAUSED,
        # zombie_runs.py starts a crashed one again; one that it gave up is Failed.
        StateType.CRASHED,
    )
]
_UNSUCCESSFUL = [StateType.FAILED.value, StateType.CANCELLED.value]


class ShardFailed(RuntimeError):
    """A shard ended without finishing its clips."""


def is_deployed() -> bool:
    """Whether this flow run was started from a deployment, by a worker."""
    return bool(runtime.deployment.id)


def request_from(values: dict[str, Any]) -> Request:
    """A request from a shard's parameters."""
    return Request(**{**values, "inputs": tuple(values["inputs"])})


@asynccontextmanager
async def alive(request: Request) -> AsyncIterator[None]:
    """Holds this flow run's lock, which shows that its process is alive. Does nothing outside deployments."""
    if not is_deployed():
        yield
        return
    settings = request.settings()
    locks = locks_at(Path(request.out), settings.ledger_url)
    hold = locks.hold(run_lock(runtime.flow_run.id), TAKE_OVER_SECONDS)
    try:
        await asyncio.to_thread(hold.__enter__)
    except LockTaken:
        # Another process is alive on this flow run. Whatever this one reported would be wrong for that one, so it exits
        # without reporting anything to the server.
        get_run_logger().warning("this flow run is already running in another process; leaving it to that one")
        os._exit(0)
    over = threading.Event()
    threading.Thread(target=_leave_with_worker, args=(over,), daemon=True).start()
    try:
        yield
    finally:
        await asyncio.to_thread(hold.__exit__, None, None, None)
        over.set()


def _leave_with_worker(over: threading.Event) -> None:
    """Ends this process, for another worker to continue, if its worker was killed: nobody could cancel the flow run.

    That may have been before this was called. A thread, because the event loop may be what hangs.
    """
    worker = int(os.environ.get(WORKER_PID) or os.getppid())
    while os.getppid() == worker:
        if over.wait(POLL_SECONDS):
            return
    end(LEAVE_SECONDS)


async def wait_for_earlier(request: Request) -> None:
    """Returns once no shard of an earlier try at this folder is running. Does nothing outside deployments."""
    if is_deployed():
        async with get_client() as client:
            await _ended(client, [out_tag(request.out), "shard"])


async def hand_out(request: Request, parts: Sequence[Sequence[str]]) -> None:
    """Has the workers do all shards. Once all have ended, raises `ShardFailed` with the reason of one that failed."""
    attempt = f"attempt:{runtime.flow_run.id}-{runtime.flow_run.run_count}"
    # What the shards read is decided here, once; the clips are in the ledger.
    asked = asdict(request) | {"inputs": [], "transcripts": None, "labels": None}
    async with get_client() as client:
        for number, names in enumerate(parts, 1):
            await arun_deployment(
                ANNOTATE_SHARD,
                client=client,
                parameters={
                    "out": request.out,
                    "number": number,
                    "total": len(parts),
                    "names": list(names),
                    "request": asked,
                },
                tags=[out_tag(request.out), "shard", attempt],
                flow_run_name=f"shard {number} of {len(parts)} into {request.out}",  # also while it waits for a worker
                idempotency_key=f"{attempt}-{number}",
                timeout=0,
            )
        await _ended(client, [attempt])
        failed = await _runs(client, [attempt], _UNSUCCESSFUL)
        if failed:
            for run in failed:
                get_run_logger().error("%s: %s", run.name, run.state.message if run.state else "")
            message = failed[0].state.message if failed[0].state else ""
            raise ShardFailed(f"{len(failed)} of {len(parts)} shards failed; {failed[0].name}: {message}")


async def cancel(flow_run: FlowRun) -> None:
    """Cancels what is left of a run's shards."""
    async with get_client() as client:
        tags = [out_tag(str(flow_run.parameters.get("out"))), "shard"]
        for run in await _runs(client, tags, _UNFINISHED):
            await client.set_flow_run_state(run.id, Cancelling(message="the run was cancelled"))


async def _ended(client: PrefectClient, tags: list[str]) -> None:
    while True:
        if not await _runs(client, tags, _UNFINISHED, limit=1):
            return
        await asyncio.sleep(POLL_SECONDS)


async def _runs(client: PrefectClient, tags: list[str], states: list[str], limit: int = _PAGE) -> list[FlowRun]:
    found = FlowRunFilter.model_validate({"tags": {"all_": tags}, "state": {"type": {"any_": states}}})
    return await client.read_flow_runs(flow_run_filter=found, limit=limit)

"""The services as task runs of a shard, with how far each is as their names. One for each service, never one a clip.

They are made and ended by the API rather than by Prefect's engine, since nothing is called for them: the clips go
through all services at once. For four services that takes 0.1 s a shard (20 ms of CPU here). Those that a killed
process left behind are ended when the run begins again, or is given up (`end_leftovers`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from prefect import Task, runtime
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelled, Completed, Crashed, Failed, Running

from merrflow.flow.artifacts import if_prefect_answers
from merrflow.flow.service_progress import Count, ServiceProgress

NAME_SECONDS = 5.0  # between two updates of the names; one costs 10 ms
LONGEST_NAME = 200
_OPEN = [kind.value for kind in StateType if kind.value in ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")]
_PAGE = 200


@asynccontextmanager
async def service_tasks(progress: ServiceProgress, *, part: str = "") -> AsyncIterator[None]:
    """Shows the services as task runs while the block lasts. part: a word on which shard it is."""
    shown = _Shown(progress, part)
    async with if_prefect_answers():
        await shown.begin()
    updating = asyncio.create_task(shown.follow())
    ending: Callable[..., State] | None = None
    message = ""
    try:
        yield
    except asyncio.CancelledError:
        ending, message = Cancelled, "the run was cancelled or its process was asked to end"
        raise
    except BaseException as error:
        ending, message = Failed, str(error) or type(error).__name__
        raise
    finally:
        updating.cancel()
        await asyncio.gather(updating, return_exceptions=True)
        async with if_prefect_answers():
            await shown.end(ending, message)


class _Shown:
    """The task runs, one for each service."""

    def __init__(self, progress: ServiceProgress, part: str) -> None:
        self._progress = progress
        self._part = f" ({part})" if part else ""
        self._runs: dict[str, UUID] = {}
        self._names: dict[str, str] = {}

    async def begin(self) -> None:
        flow_run = UUID(str(runtime.flow_run.id))
        async with get_client() as client:
            for count in self._progress.counts():
                name = self._names[count.service] = self._named(count)
                key = f"{count.service}-{runtime.flow_run.run_count}{self._part}-{asyncio.get_running_loop().time()}"
                made = await client.create_task_run(_task(count.service), flow_run, key, name=name, state=Running())
                self._runs[count.service] = made.id

    async def follow(self) -> None:
        while True:
            await asyncio.sleep(NAME_SECONDS)
            async with if_prefect_answers(), get_client() as client:
                await self._rename(client)

    async def end(self, ending: Callable[..., State] | None, message: str) -> None:
        """ending: how services end that are not through with all clips; None if the shard is."""
        async with get_client() as client:
            await self._rename(client)
            for count in self._progress.counts():
                if run := self._runs.get(count.service):
                    whole = ending is None or (count.of and count.done >= count.of)
                    state = Completed(message=str(count)) if whole or ending is None else ending(message=message)
                    await client.set_task_run_state(run, state, force=True)

    async def _rename(self, client: PrefectClient) -> None:
        for count in self._progress.counts():
            name = self._named(count)
            if count.service in self._runs and name != self._names[count.service]:
                self._names[count.service] = name
                await client.set_task_run_name(self._runs[count.service], name)

    def _named(self, count: Count) -> str:
        return f"{count}{self._part}"[:LONGEST_NAME]


def _task(service: str) -> Task[[], Any]:
    async def ask() -> None:
        """Stands for the service: Prefect wants a function."""

    return Task(ask, name=service, persist_result=False)


async def leftovers_ended() -> None:
    """Ends what an earlier process of this flow run left behind. Does nothing outside deployments."""
    if runtime.deployment.id:
        async with if_prefect_answers(), get_client() as client:
            await end_leftovers(client, UUID(str(runtime.flow_run.id)), "its process died; the run began again")


async def end_leftovers(client: PrefectClient, flow_run: UUID, message: str) -> None:
    """Ends the task runs that a process of this flow run left behind when it died."""
    wanted = TaskRunFilter.model_validate({"state": {"type": {"any_": _OPEN}}})
    mine = FlowRunFilter.model_validate({"id": {"any_": [flow_run]}})
    while found := await client.read_task_runs(flow_run_filter=mine, task_run_filter=wanted, limit=_PAGE):
        for run in found:
            await client.set_task_run_state(run.id, Crashed(message=message), force=True)

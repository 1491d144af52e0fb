"""The warden starts again what is dead, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed, Pending, Running

from merrflow.flow.names import MAX_STARTS, POOL, run_lock
from merrflow.flow.zombie_runs import LOOKS, ZombieRunDetector
from merrflow.store.locks import locks_at


class Server:
    """The part of Prefect's client that a warden uses, over a list of runs."""

    def __init__(self, *runs: SimpleNamespace) -> None:
        self.runs = {run.id: run for run in runs}
        self.set: list[tuple[UUID, str, bool]] = []
        self.tasks: list[SimpleNamespace] = []  # task runs that are not ended
        self.ended: list[tuple[UUID, str]] = []

    async def read_flow_runs(self, flow_run_filter, limit: int, offset: int) -> list[SimpleNamespace]:
        living = {StateType(name) for name in flow_run_filter.state.type.any_}
        return [run for run in self.runs.values() if run.state.type in living][offset : offset + limit]

    async def read_flow_run(self, identity: UUID) -> SimpleNamespace:
        return self.runs[identity]

    async def read_task_runs(self, **wanted) -> list[SimpleNamespace]:
        open_ones, self.tasks = self.tasks, []
        return open_ones

    async def set_task_run_state(self, identity: UUID, state, force: bool) -> None:
        self.ended.append((identity, state.name))

    async def set_flow_run_state(self, identity: UUID, state, force: bool) -> None:
        self.set.append((identity, state.name, force))
        self.runs[identity] = SimpleNamespace(**{**vars(self.runs[identity]), "state": state})


def flow_run(out, state, **more) -> SimpleNamespace:
    if state.id is None:
        state.id = uuid4()
    known = {"id": uuid4(), "name": "annotate", "work_pool_name": POOL, "run_count": 1}
    return SimpleNamespace(**{**known, "parameters": {"out": str(out)}, "state": state, **more})


async def look(warden: ZombieRunDetector, server: Server, times: int = LOOKS) -> list[str]:
    for _ in range(times):
        await warden.look(server)
    return [name for _, name, _ in server.set]


async def test_a_dead_run_is_scheduled_again_when_it_was_found_dead_often_enough(tmp_path):
    server = Server(flow_run(tmp_path, Running()))
    warden = ZombieRunDetector(POOL, "process", "")
    assert await look(warden, server, LOOKS - 1) == []
    assert await look(warden, server, 1) == ["AwaitingRetry"]
    assert server.set[0][2], "whatever Prefect's rules say of that change"
    assert await look(warden, server) == ["AwaitingRetry"], "once"


async def test_a_crashed_run_is_scheduled_again(tmp_path):
    assert await look(ZombieRunDetector(POOL, "process", ""), Server(flow_run(tmp_path, Crashed()))) == [
        "AwaitingRetry"
    ]


async def test_a_living_run_is_left_alone_and_a_pause_of_its_claim_does_no_harm(tmp_path):
    run = flow_run(tmp_path, Running())
    server, warden = Server(run), ZombieRunDetector(POOL, "process", "")
    with locks_at(tmp_path).hold(run_lock(run.id)):
        assert await look(warden, server) == []
    await warden.look(server)  # a moment without
    with locks_at(tmp_path).hold(run_lock(run.id)):
        await warden.look(server)
    assert await look(warden, server, LOOKS - 1) == [], "counted anew"


@pytest.mark.parametrize(("kind", "seconds", "dead"), [("process", 30, False), ("process", 300, True),
                                                       ("kubernetes", 300, False)])  # fmt: skip
async def test_what_is_being_started_gets_its_time(tmp_path, kind, seconds, dead):
    state = Pending()
    state.timestamp = datetime.now(UTC) - timedelta(seconds=seconds)
    assert bool(await look(ZombieRunDetector(POOL, kind, ""), Server(flow_run(tmp_path, state)))) == dead


async def test_a_run_that_dies_again_and_again_is_given_up(tmp_path):
    server = Server(flow_run(tmp_path, Crashed(), run_count=MAX_STARTS))
    task = SimpleNamespace(id=uuid4())
    server.tasks = [task]
    assert await look(ZombieRunDetector(POOL, "process", ""), server) == ["Failed"]
    assert server.ended == [(task.id, "Crashed")], "nobody else ends what it left running"


async def test_another_pools_run_is_not_ours(tmp_path):
    server = Server(flow_run(tmp_path, Crashed(), work_pool_name="other"))
    assert await look(ZombieRunDetector(POOL, "process", ""), server) == []


async def test_a_run_that_went_on_meanwhile_is_left_alone(tmp_path):
    run = flow_run(tmp_path, Running())
    server, warden = Server(run), ZombieRunDetector(POOL, "process", "")
    await look(warden, server, LOOKS - 1)
    fresh = Running()
    fresh.id = uuid4()

    async def read_flow_run(identity):
        return SimpleNamespace(**{**vars(run), "state": fresh})

    server.read_flow_run = read_flow_run
    assert await look(warden, server, 1) == []

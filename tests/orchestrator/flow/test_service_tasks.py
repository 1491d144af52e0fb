"""The services as task runs of a shard, and what happens to them as lines of the log, in a real Prefect server."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from uuid import UUID

import pytest
from prefect import Task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, LogFilter
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.states import Running

from merrflow.clients import ServiceGone
from merrflow.flow.run import annotate_request
from merrflow.flow.service_tasks import end_leftovers
from merrflow.pipeline.request import Request
from merrflow.stages.graph import GRAPH
from merrflow_serving.errors import InvalidInput
from merrflow_serving.server import Server
from tests.orchestrator.fakes import SPECS, fake_services, make_video, trouble
from tests.orchestrator.flow.begun import begun

pytestmark = pytest.mark.usefixtures("server")


def request(folder, addresses, **more) -> Request:
    return Request((str(folder / "clips"),), str(folder / "out"), overrides=addresses | more)


async def seen(folder, said: str = "") -> tuple[FlowRun, list[TaskRun], list[str]]:
    """The latest run into this folder, the services' task runs, and the lines of its log, of which one says this."""
    async with get_client() as client:
        runs = [run for run in await client.read_flow_runs() if str(folder / "out") in run.name]
        run = max(runs, key=lambda one: one.created)
        mine = FlowRunFilter.model_validate({"id": {"any_": [run.id]}})
        tasks = await client.read_task_runs(flow_run_filter=mine)
        wanted = LogFilter.model_validate({"flow_run_id": {"any_": [run.id]}})
        logs = await client.read_logs(wanted)
        async with asyncio.timeout(60):  # Prefect sends them every few seconds
            while not any(said in log.message for log in logs):
                await asyncio.sleep(0.2)
                logs = await client.read_logs(wanted)
    return run, [task for task in tasks if not task.name.startswith("shard-")], [log.message for log in logs]


async def test_each_service_is_a_task_run_of_its_shard_with_what_it_has_done(tmp_path):
    for number in range(4):
        make_video(tmp_path / f"clips/c{number}.mp4", "red", seed=number)
    make_video(tmp_path / "clips/nobody.mp4", "blue")
    async with fake_services() as addresses:
        await annotate_request(request(tmp_path, addresses))
    _, tasks, log = await seen(tmp_path, "100 % of 5 clips")
    assert sorted(re.sub(r"[\d.]+/s", "x/s", task.name) for task in tasks) == [
        "llama3 4 of 4, x/s, errors 0",
        "minigpt-v2 4 of 4, x/s, errors 0",
        "openface-au 5 of 5, x/s, errors 0",
        "qwen-audio 4 of 4, x/s, errors 0",
    ], "and nobody's clip needs the other three"
    assert {task.name.split()[0] for task in tasks} == set(GRAPH.services)
    assert all(task.state.is_completed() for task in tasks)
    tenths = [int(line.split(" %")[0]) for line in log if " % of 5 clips" in line]
    assert tenths == [20, 40, 60, 80, 100]


@pytest.mark.slow
async def test_the_cost_is_a_task_run_for_each_service_and_shard_and_never_one_a_clip(tmp_path):
    for number in range(6):
        make_video(tmp_path / f"clips/c{number}.mp4", "red", seed=number)
    async with fake_services() as addresses:
        await annotate_request(request(tmp_path, addresses, shard_size=3))
    _, tasks, _ = await seen(tmp_path)
    assert len(tasks) == 2 * len(GRAPH.services)
    assert sum("(shard 2 of 2)" in task.name for task in tasks) == len(GRAPH.services)


async def test_a_refusal_is_an_error_of_its_service_and_a_line_with_the_clips_name(tmp_path):
    for number in range(3):
        make_video(tmp_path / f"clips/c{number}.mp4", "red", seed=number)
    async with fake_services() as addresses:
        trouble["qwen-audio"] = InvalidInput("the sound is no good")
        try:
            await annotate_request(request(tmp_path, addresses))
        finally:
            trouble.clear()
    _, tasks, log = await seen(tmp_path, "100 % of 3 clips")
    (tone,) = (task for task in tasks if task.name.startswith("qwen-audio"))
    assert tone.name.endswith("errors 3") and tone.state.is_completed()
    lines = [line for line in log if line.startswith("refused: clip ")]
    assert sorted(line.split(":")[1] for line in lines) == [" clip c0", " clip c1", " clip c2"]
    assert all("tone by qwen-audio" in line and "the sound is no good" in line for line in lines)


async def test_a_service_that_stays_away_fails_and_the_log_says_when_it_was_lost(tmp_path):
    for number in range(6):
        make_video(tmp_path / f"clips/c{number}.mp4", "red", seed=number)
    spec = replace(SPECS["llama3"][0], engines={"fake": "tests.orchestrator.fakes:FakeReasoner"})
    server = Server(spec, spec.settings(port=0, drain_seconds=1, engine="fake"))
    await server.start()
    await server.wait_ready()
    async with fake_services() as addresses:
        stopping = []
        with pytest.raises(ServiceGone):
            await annotate_request(
                request(tmp_path, addresses | {"llama3_address": server.address}, retry_seconds=0.5, clips_at_once=1),
                on_start=lambda session: session.clip_finished.connect(
                    lambda name, outcome: stopping.append(asyncio.ensure_future(server.stop()))
                ),
            )
        await asyncio.gather(*stopping)
    run, tasks, log = await seen(tmp_path, "replica lost")
    states = {task.name.split()[0]: task.state for task in tasks}
    assert states["llama3"].is_failed() and "llama3" in states["llama3"].message
    assert all(state.is_final() for state in states.values())
    assert re.match(r"\d+ %: annotate into ", run.name), "how far it came stays in its name"
    assert any(line.startswith("replica lost: llama3 at") for line in log)


async def test_a_cancelled_run_leaves_no_service_running(tmp_path):
    for number in range(12):
        make_video(tmp_path / f"clips/c{number:02}.mp4", "red", seed=number)
    async with fake_services() as addresses:
        going = await begun(request(tmp_path, addresses, clips_at_once=1))
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
    _, tasks, _ = await seen(tmp_path)
    assert len(tasks) == len(GRAPH.services)
    assert {task.state.type.value for task in tasks} == {"CANCELLED"}


async def test_what_a_killed_process_left_behind_is_ended_and_nothing_else(tmp_path):
    async def ask() -> None: ...

    async with get_client() as client:
        from merrflow.flow.annotate import annotate_flow

        parameters = {"inputs": [], "out": str(tmp_path)}
        run, other = [await client.create_flow_run(annotate_flow, parameters=parameters) for _ in range(2)]
        for one in (run, other):
            for number in range(2):
                await client.create_task_run(Task(ask, name="llama3"), one.id, str(number), state=Running())
        await end_leftovers(client, run.id, "its process died")

        async def states(of: UUID) -> list[str]:
            mine = FlowRunFilter.model_validate({"id": {"any_": [of]}})
            return [task.state.type.value for task in await client.read_task_runs(flow_run_filter=mine)]

        assert await states(run.id) == ["CRASHED"] * 2
        assert await states(other.id) == ["RUNNING"] * 2

"""The work of a run beside Prefect: it waits for none, and what Prefect shows is whole however late it comes."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    LogFilter,
)

from merrflow.core.errors import ClipsAway
from merrflow.flow import run
from merrflow.flow.run import annotate_request
from merrflow.flow.run_log import Lines
from merrflow.flow.termination import Termination
from merrflow.flow.trouble import PrefectServerFailed
from merrflow.flow.work import Work, shards_at_once
from merrflow.pipeline.pipeline import Pipeline
from merrflow.pipeline.request import Request
from merrflow.pipeline.session import Session
from merrflow.stages.graph import GRAPH
from tests.orchestrator.fakes import fake_services, make_video
from tests.orchestrator.flow.begun import begun

TASKS = 3 + 3 * len(GRAPH.services)  # each shard, and in it each service


def request(folder, addresses, **more) -> Request:
    return Request((str(folder / "clips"),), str(folder / "out"), overrides=addresses | more)


async def never(work: Work, request: Request, termination: Termination) -> None:
    """Instead of `run._run_flow`: Prefect's server does not come."""
    raise PrefectServerFailed("its server does not start: no room")


@pytest.mark.slow
@pytest.mark.usefixtures("server")
async def test_a_server_that_comes_when_all_is_done_shows_all_of_it(tmp_path, monkeypatch):
    for number in range(5):
        make_video(tmp_path / f"clips/c{number}.mp4", "red", seed=number)
    show = run._run_flow

    async def late(work: Work, request: Request, termination: Termination) -> None:
        await work.over()
        await show(work, request, termination)

    monkeypatch.setattr(run, "_run_flow", late)
    said: list[str] = []
    async with fake_services() as addresses:
        summary = await annotate_request(request(tmp_path, addresses, shard_size=2), say=said.append)
    assert summary.outcomes == {"done": 5}
    assert "waiting for Prefect's server, which is to show this run" in said
    async with get_client() as client:
        (flow_run,) = [one for one in await client.read_flow_runs() if str(tmp_path / "out") in one.name]
        mine = FlowRunFilter.model_validate({"id": {"any_": [flow_run.id]}})
        async with asyncio.timeout(60):  # the server learns of them by events
            while True:
                tasks = await client.read_task_runs(flow_run_filter=mine)
                if len(tasks) >= TASKS and all(task.state and task.state.is_completed() for task in tasks):
                    break
                await asyncio.sleep(0.2)
        shown = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run.id]))
        artifacts = {one.key: one for one in await client.read_artifacts(artifact_filter=shown)}
        logs = LogFilter.model_validate({"flow_run_id": {"any_": [flow_run.id]}})
        async with asyncio.timeout(60):  # Prefect sends them every few seconds
            while not any("100 % of 5 clips" in log.message for log in await client.read_logs(logs)):
                await asyncio.sleep(0.2)
    assert flow_run.state.is_completed()
    assert sorted(task.name for task in tasks if task.name.startswith("shard-")) == [
        f"shard-{n}-of-3" for n in (1, 2, 3)
    ]
    counts = sorted(task.name.split(",")[0] for task in tasks if task.name.startswith("llama3"))
    assert counts == ["llama3 1 of 1", "llama3 2 of 2", "llama3 2 of 2"]
    assert float(artifacts["merrflow-progress"].data) == 100.0 and "merrflow-report" in artifacts


async def test_a_server_that_never_comes_costs_a_line_and_no_clip(tmp_path, monkeypatch):
    make_video(tmp_path / "clips/a.mp4", "red")

    monkeypatch.setattr(run, "_run_flow", never)
    said: list[str] = []
    async with fake_services() as addresses:
        summary = await annotate_request(request(tmp_path, addresses), say=said.append)
    assert summary.outcomes == {"done": 1} and (tmp_path / "out/report.html").exists()
    assert [line for line in said if "Prefect" in line] == [
        "Prefect is gone (its server does not start: no room); continuing without it"
    ]


async def test_what_stops_a_run_is_not_called_prefects(tmp_path, monkeypatch):
    """The flow learns of a shard's end before the outputs are written, which is when the work ends."""
    make_video(tmp_path / "clips/a.mp4", "red")

    async def following(work: Work, request: Request, termination: Termination) -> None:
        async for shard in work.shards():
            await shard.over()

    async def away(pipeline, clip, absent):
        raise ClipsAway("their folder seems to be gone")

    write = Session.write_outputs

    def slowly(session):
        time.sleep(0.3)
        return write(session)

    monkeypatch.setattr(run, "_run_flow", following)
    monkeypatch.setattr(Pipeline, "annotate", away)
    monkeypatch.setattr(Session, "write_outputs", slowly)
    said: list[str] = []
    async with fake_services() as addresses:
        with pytest.raises(ClipsAway, match="their folder"):
            await annotate_request(request(tmp_path, addresses), say=said.append)
    assert not [line for line in said if "Prefect is gone" in line]


async def test_a_call_leaves_no_loop(tmp_path, monkeypatch):
    """A program may make thousands of calls."""
    make_video(tmp_path / "clips/a.mp4", "red")
    loops: list[asyncio.AbstractEventLoop] = []
    new = asyncio.new_event_loop
    monkeypatch.setattr(run.asyncio, "new_event_loop", lambda: loops.append(new()) or loops[-1])
    monkeypatch.setattr(run, "_run_flow", never)
    async with fake_services() as addresses:
        for number in range(2):
            out = tmp_path / f"out{number}"
            summary = await asyncio.to_thread(run.annotate, tmp_path / "clips", out, **addresses)
            assert summary.outcomes == {"done": 1}
    assert [loop.is_closed() for loop in loops] == [True, True], "with its threads and open files"


async def test_a_run_that_is_stopped_does_not_wait_for_a_server_that_is_not_there(tmp_path, monkeypatch):
    for number in range(8):
        make_video(tmp_path / f"clips/c{number}.mp4", "red", seed=number)
    left = asyncio.Event()

    async def hanging(work: Work, request: Request, termination: Termination) -> None:
        try:
            await asyncio.sleep(600)
        finally:
            left.set()

    monkeypatch.setattr(run, "_run_flow", hanging)
    async with fake_services() as addresses:
        going = await begun(request(tmp_path, addresses, clips_at_once=1))
        going.cancel()
        async with asyncio.timeout(run.PUBLISH_SECONDS / 2):
            await asyncio.wait({going})
    assert going.cancelled() and left.is_set()
    assert (tmp_path / "out/records.jsonl").read_text().count("\n") >= 1, "what is done is written out"


def test_lines_are_kept_until_somebody_takes_them_and_then_passed_on():
    lines, taken = Lines(), []
    lines.info("%d of %d", 1, 2)
    lines.log(logging.WARNING, "100 %% of %s", "2 clips")
    lines.to(lambda level, line: taken.append((level, line)))
    lines.info("after")
    assert taken == [(logging.INFO, "1 of 2"), (logging.WARNING, "100 % of 2 clips"), (logging.INFO, "after")]


@pytest.mark.parametrize(("clips", "size", "shards"), [(32, 256, 2), (144, 256, 3), (252, 256, 3), (4, 1, 9)])
def test_clips_of_other_shards_are_there_when_one_runs_out_of_them(clips, size, shards):
    assert shards_at_once(clips, size) == shards
    assert (shards - 1) * size >= 2 * clips


async def test_so_many_shards_are_in_work(tmp_path, monkeypatch):
    for number in range(5):
        make_video(tmp_path / f"clips/c{number}.mp4", "red", seed=number)
    in_work: set[str] = set()
    most = 0
    annotate = Session.annotate

    async def counted(session, names, absent=frozenset()):
        nonlocal most
        in_work.update(names)
        most = max(most, len(in_work))
        try:
            return await annotate(session, names, absent)
        finally:
            in_work.difference_update(names)

    monkeypatch.setattr(Session, "annotate", counted)
    monkeypatch.setattr(run, "_run_flow", never)
    async with fake_services() as addresses:
        await annotate_request(request(tmp_path, addresses, shard_size=1, clips_at_once=1), say=print)
    assert most == shards_at_once(1, 1) == 3


async def test_the_clips_of_a_shard_begin_before_those_of_the_next(tmp_path, monkeypatch):
    """Else all shards in work end together, and the services wait while the next ones begin."""
    for number in range(9):
        make_video(tmp_path / f"clips/c{number}.mp4", "red", seed=number)
    begun_clips: list[str] = []
    in_work = most = 0
    annotate = Pipeline.annotate

    async def noted(pipeline, clip, absent):
        nonlocal in_work, most
        begun_clips.append(clip.name)
        in_work += 1
        most = max(most, in_work)
        try:
            return await annotate(pipeline, clip, absent)
        finally:
            in_work -= 1

    monkeypatch.setattr(Pipeline, "annotate", noted)
    monkeypatch.setattr(run, "_run_flow", never)
    async with fake_services() as addresses:
        await annotate_request(request(tmp_path, addresses, shard_size=4, clips_at_once=2), say=print)
    assert begun_clips == [f"c{number}" for number in range(9)]
    assert most == 2

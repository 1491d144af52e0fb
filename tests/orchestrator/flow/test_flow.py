"""The Prefect flow against a real Prefect server: what its UI shows of a run."""

from __future__ import annotations

import asyncio
import json

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter

from merrflow.flow.progress import progress
from merrflow.flow.run import annotate_request
from merrflow.pipeline.request import Request
from tests.orchestrator.fakes import fake_services, make_video, served
from tests.orchestrator.pipeline.test_witness_engines import SecondTone

pytestmark = pytest.mark.usefixtures("server")


async def test_a_run_its_shards_its_progress_and_its_tables_are_in_prefect(tmp_path):
    for number in range(5):
        make_video(tmp_path / f"clips/c{number}.mp4", "red", seed=number)
    make_video(tmp_path / "clips/nobody.mp4", "blue")
    heard = []
    async with fake_services() as addresses:
        request = Request((str(tmp_path / "clips"),), str(tmp_path / "out"), overrides=addresses | {"shard_size": 2})
        summary = await annotate_request(
            request, on_start=lambda session: session.clip_finished.connect(lambda name, outcome: heard.append(name))
        )
    assert summary.outcomes == {"done": 5, "skipped": 1}
    assert sorted(heard) == ["c0", "c1", "c2", "c3", "c4", "nobody"], "whoever watches hears of every clip once"

    async with get_client() as client:
        (run,) = (run for run in await client.read_flow_runs() if run.parameters.get("out") == str(tmp_path / "out"))
        tasks = await client.read_task_runs(flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run.id]}}))
        artifacts = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        )
    assert run.state.is_completed()
    assert run.parameters["inputs"] == [str(tmp_path / "clips")]
    names = {task.name for task in tasks if task.name.startswith("shard")}
    assert names == {"shard-1-of-3", "shard-2-of-3", "shard-3-of-3"}
    assert all(task.state.is_completed() for task in tasks)
    kinds = {artifact.key: artifact for artifact in artifacts}
    assert set(kinds) == {"merrflow-progress", "merrflow-outcomes", "merrflow-clips", "merrflow-report"}
    assert float(kinds["merrflow-progress"].data) == 100.0
    assert run.name == f"annotate into {tmp_path}/out", "the per cent are gone once it is whole"
    rows = json.loads(kinds["merrflow-clips"].data)
    assert rows[-1] == {
        "clip": "nobody",
        "outcome": "skipped",
        "label": "",
        "confidence": "",
        "subtitle": "",
        "reason": "no face is found in any of the 12 frames",
    }
    assert rows[0]["label"] == "happy" and rows[0]["confidence"] == "confirmed"
    assert rows[0]["reason"].startswith("This person feels happy.")
    assert [(row["clip"], row["outcome"]) for row in rows][-2:] == [("c4", "done"), ("nobody", "skipped")]
    counts = {row["what"]: row["how many"] for row in json.loads(kinds["merrflow-outcomes"].data)}
    assert counts["outcome: done"] == 5 and counts["label: happy"] == 5


async def test_nothing_to_do_is_no_run(tmp_path):
    make_video(tmp_path / "a.mp4", "red")
    async with fake_services() as addresses:
        request = Request((str(tmp_path / "a.mp4"),), str(tmp_path / "out"), overrides=addresses)
        await annotate_request(request)
        async with get_client() as client:
            before = len(await client.read_flow_runs())
            assert (await annotate_request(request)).worked == 0
            assert len(await client.read_flow_runs()) == before


async def test_a_list_of_witnesses_is_one_text_in_the_form_and_each_answers(tmp_path):
    clip = make_video(tmp_path / "a.mp4", "red")
    async with fake_services() as addresses, served("qwen-audio", SecondTone) as tone:
        witness = f"qwen-audio={tone.address}"
        request = Request((str(clip),), str(tmp_path / "out"), overrides=addresses | {"witness": [witness]})
        summary = await annotate_request(request)
    async with get_client() as client:
        runs = await client.read_flow_runs()
    assert summary.outcomes == {"done": 1} and witness in [run.parameters.get("witness") for run in runs]
    assert '"second-qwen-audio"' in (tmp_path / "out/records.jsonl").read_text()


async def test_what_takes_long_to_count_is_counted_less_often(monkeypatch):
    """To count the outcomes of a million clips takes seconds; every two seconds that would be all that is done."""
    monkeypatch.setattr("merrflow.flow.progress.PROGRESS_SECONDS", 0.05)
    asked = []

    async def finished() -> int:
        asked.append(1)
        await asyncio.sleep(0.1)
        return len(asked)

    @flow
    async def shown() -> None:
        async with progress(10, finished, description="ten clips"):
            await asyncio.sleep(3)

    await shown()
    assert 2 <= len(asked) <= 3, "at the beginning, and at the end"

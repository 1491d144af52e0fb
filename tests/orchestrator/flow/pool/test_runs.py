"""Runs by the workers of a pool: as a local one, shared by several, and after the death of any of them."""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import pytest
from prefect.client.orchestration import get_client

from merrflow.flow.deployment import register
from merrflow.flow.names import POOL
from merrflow.flow.run import annotate_request
from merrflow.flow.submit import run_on_server
from merrflow.pipeline.request import Request
from merrflow.store import Ledger
from tests.orchestrator.fakes import calls, fake_services, make_video
from tests.orchestrator.flow.pool.conftest import until
from tests.records import timeless


def environment(addresses: dict[str, str], ledger_url: str = "") -> dict[str, str]:
    found = {f"MERRFLOW_{name.upper()}": address for name, address in addresses.items()}
    return found | ({"MERRFLOW_LEDGER_URL": ledger_url} if ledger_url else {})


async def shard_runs() -> list:
    async with get_client() as client:
        return [run for run in await client.read_flow_runs() if "shard" in run.tags]


@pytest.mark.slow
@pytest.mark.parametrize("ledger_url", ["sqlite", "postgresql"], indirect=True)
async def test_a_run_on_the_server_is_a_local_run_and_its_form_explains_itself(server, workers, tmp_path, ledger_url):
    for number in range(4):
        make_video(tmp_path / f"clips/c{number}.mp4", "red", seed=number)
    make_video(tmp_path / "clips/nobody.mp4", "blue")
    (tmp_path / "said.csv").write_text("name,sentence\nc1,What a day\n")
    seen = []
    async with fake_services() as addresses:
        workers.start(**environment(addresses, ledger_url))
        values = {"shard_size": 3, "neutral_sample": 0.5}
        said = str(tmp_path / "said.csv")
        request = Request((str(tmp_path / "clips"),), str(tmp_path / "out"), said, overrides=values)
        await until(_registered)
        run = await run_on_server(request, lambda state, share, page: seen.append((state, share)))
        local = Request((str(tmp_path / "clips"),), str(tmp_path / "local"), said, overrides=addresses | values)
        await annotate_request(local)
    assert (run.state, run.complete, run.problems) == ("Completed", True, ()), workers.log(0)
    assert {name: run.counts[name] for name in ("clips", "outcome: done", "outcome: skipped")} == {
        "clips": 5,
        "outcome: done": 4,
        "outcome: skipped": 1,
    }
    assert seen[-1] == ("Completed", 1.0) and ("Running", 0.0) in seen
    assert timeless(tmp_path / "out") == timeless(tmp_path / "local")
    mine = [run for run in await shard_runs() if f"out:{tmp_path}/out" in run.tags]
    assert sorted(run.parameters["number"] for run in mine) == [1, 2], "each shard was a flow run"
    assert all(run.state.is_completed() for run in mine)
    assert (tmp_path / "out/ledger.db").exists() == (not ledger_url)


async def _registered():
    async with get_client() as client:
        pools = await client.read_work_pools()
        return any(pool.name == POOL for pool in pools) and await client.read_deployments()


async def test_every_field_of_the_form_says_what_it_is_for(server):
    await register()  # as every worker does
    async with get_client() as client:
        form = (await client.read_deployment_by_name("annotate/annotate")).parameter_openapi_schema
    assert form["required"] == ["inputs", "out"]
    assert {name for name, field in form["properties"].items() if len(field.get("description", "")) < 30} == set()
    assert {"rules", "neutral_sample", "transcripts", "seed"} <= set(form["properties"])


@pytest.mark.skipif(
    os.environ.get("MERRFLOW_TEST_FAULTS") != "1",
    reason="takes minutes, and is tried with containers too: set MERRFLOW_TEST_FAULTS=1",
)
async def test_a_killed_worker_loses_nothing_and_nothing_is_done_twice(server, workers, tmp_path, postgres_url):
    """Two workers; the one that has the whole run and a shard of it is killed with all its processes in mid-run."""
    clips = 18
    for number in range(clips):
        make_video(tmp_path / f"clips/c{number:02}.mp4", "red", seed=number)
    request = Request((str(tmp_path / "clips"),), str(tmp_path / "out"), overrides={"shard_size": 3})
    async with fake_services() as addresses:
        both = [workers.start(**environment(addresses, postgres_url)) for _ in range(2)]

        async def started():
            return all("started!" in workers.log(number) for number in range(2))

        await until(started)
        going = asyncio.create_task(run_on_server(request, lambda state, share, page: None))

        async def shard_under_way():
            mine = [one for one in await shard_runs() if f"out:{tmp_path}/out" in one.tags]
            return [one for one in mine if one.state.is_running()]

        await until(shard_under_way)

        async def with_the_whole_run():  # which a log may say some seconds later
            return [number for number in range(2) if f"annotate into {tmp_path}/out" in workers.log(number)]

        victim, *_ = await until(with_the_whole_run)
        workers.kill(both[victim])
        ended = await asyncio.wait_for(going, 400)
    assert (ended.state, ended.complete) == ("Completed", True), ended
    assert ended.counts["outcome: done"] == clips
    ledger = Ledger.in_folder(tmp_path / "out", postgres_url, make=False)
    rows = Counter(name for name, _ in ledger.records())
    assert len(rows) == clips and set(rows.values()) == {1}
    assert set(timeless(tmp_path / "out")) == set(rows)
    # What had been done when the worker died was not done again: at most what it had in its hands.
    assert clips <= calls["minigpt-v2"] <= clips + 2 * 3

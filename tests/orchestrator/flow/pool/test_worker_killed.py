"""`merrflow worker`, or Prefect's worker under it, killed alone: what it had started does not go on without it."""

from __future__ import annotations

import asyncio

import psutil
import pytest
from prefect.client.orchestration import get_client

from merrflow.flow.names import ANNOTATE
from merrflow.flow.submit import run_on_server
from merrflow.pipeline.request import Request
from tests.orchestrator.fakes import fake_services, make_video
from tests.orchestrator.flow.pool.conftest import until
from tests.orchestrator.flow.pool.test_runs import environment

pytestmark = pytest.mark.slow
SECONDS = 60.0


@pytest.mark.parametrize("victim", ["merrflow worker", "prefect worker"])
async def test_a_worker_killed_alone_takes_its_flow_runs_with_it(server, workers, tmp_path, victim):
    for number in range(6):
        make_video(tmp_path / f"clips/c{number}.mp4", "red", seed=number)
    request = Request((str(tmp_path / "clips"),), str(tmp_path / "out"), overrides={"shard_size": 2})
    async with fake_services() as addresses:
        worker = workers.start(**environment(addresses))

        async def registered():
            async with get_client() as client:
                return [one for one in await client.read_deployments() if one.name == ANNOTATE.split("/")[0]]

        await until(registered)
        going = asyncio.create_task(run_on_server(request, lambda state, share, page: None))
        top = psutil.Process(worker.pid)

        async def lock_is_held():  # then the flow run is under way
            return list((tmp_path / "out/.claims").glob("*.lock"))

        await until(lock_is_held)
        started = top.children(recursive=True)
        engines = [one for one in started if "prefect.engine" in " ".join(one.cmdline())]
        assert engines, [one.cmdline() for one in started]
        (direct,) = top.children()
        (top if victim == "merrflow worker" else direct).kill()
        worker.wait(SECONDS)
        _, alive = await asyncio.to_thread(psutil.wait_procs, started, timeout=SECONDS)
        assert not alive, f"left behind: {[one.cmdline() for one in alive]}"
        going.cancel()

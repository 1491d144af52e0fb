"""A flow run whose worker is gone ends, whenever the worker was killed and whatever the flow run does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from merrflow.flow.names import WORKER_PID
from tests.paths import ROOT

FLOW_RUN = """
import asyncio, signal, sys, time
from merrflow.flow import shards
from merrflow.pipeline.request import Request
shards.is_deployed, shards.LEAVE_SECONDS = lambda: True, 0.5
async def run():
    async with shards.alive(Request(("clips",), sys.argv[1])):
        time.sleep(60)  # the event loop hangs
if sys.argv[2] == "ignores":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
asyncio.run(run())
"""


@pytest.mark.parametrize(("term", "code"), [("obeys", -signal.SIGTERM), ("ignores", 1)])
def test_a_flow_run_ends_though_its_worker_was_killed_before_it_looked(tmp_path, term, code):
    worker = subprocess.Popen(["true"])
    worker.wait()
    env = os.environ | {WORKER_PID: str(worker.pid), "PREFECT__FLOW_RUN_ID": "b3f1f2de-2f52-4a3b-a1a5-1f0f4b6f5b0c"}
    process = subprocess.Popen([sys.executable, "-c", FLOW_RUN, str(tmp_path), term], cwd=ROOT, env=env)
    try:
        assert process.wait(50) == code
    finally:
        process.kill()
        process.wait()

"""A service that cannot work says so: in its health, its log, its `Info`, and to the container's health check."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from merrflow.common.v1 import common_pb2 as common
from merrflow.common.v1 import common_pb2_grpc
from merrflow_serving import health, server
from merrflow_serving.errors import PASSING, NotReady
from merrflow_serving.server import Server
from merrflow_serving.service import ServiceSettings
from tests.services.serving.toy import SPEC, ToyEngine

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(autouse=True)
def _fresh_engine():
    ToyEngine.missing_weights = False
    yield
    ToyEngine.load_fault = None
    ToyEngine.loading.set()


class Looks:
    """What anyone can see of a service from outside."""

    def __init__(self, found: Server, channel: grpc.aio.Channel) -> None:
        self.server = found
        self._health = health_pb2_grpc.HealthStub(channel)
        self._engine = common_pb2_grpc.EngineStub(channel)

    async def health(self) -> int:
        return (await self._health.Check(health_pb2.HealthCheckRequest())).status

    async def info(self) -> common.InfoResponse:
        return await self._engine.Info(common.InfoRequest())

    async def until(self, status: int) -> None:
        async with asyncio.timeout(10):
            while await self.health() != status:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running():
    found = Server(SPEC, ServiceSettings(port=0, drain_seconds=1))
    await found.start()
    async with grpc.aio.insecure_channel(found.address) as channel:
        try:
            yield Looks(found, channel)
        finally:
            ToyEngine.loading.set()
            await found.stop()


@pytest.mark.parametrize("reason", sorted(PASSING))
async def test_a_problem_that_passes_is_tried_again_until_the_service_serves(monkeypatch, reason) -> None:
    monkeypatch.setattr(server, "AGAIN_SECONDS", 0.3)
    ToyEngine.load_fault = NotReady("the disk is full; make room", reason=reason)
    async with running() as seen:
        await seen.server.wait_ready()
        assert await seen.health() == NOT_SERVING
        info = await seen.info()
        assert (info.ready, info.problem) == (False, "the disk is full; make room")
        assert info.doing == "waiting to try again, as every 0 s"
        ToyEngine.load_fault = None
        await seen.until(SERVING)
        info = await seen.info()
        assert (info.ready, info.problem, info.doing, info.doing_seconds) == (True, "", "", 0)


async def test_a_problem_that_only_a_restart_mends_is_not_tried_again(monkeypatch) -> None:
    monkeypatch.setattr(server, "AGAIN_SECONDS", 0.05)
    ToyEngine.load_fault = NotReady("no such device", reason="DEVICE_MISSING")
    async with running() as seen:
        await seen.server.wait_ready()
        ToyEngine.load_fault = None
        await asyncio.sleep(0.3)
        assert await seen.health() == NOT_SERVING
        assert (await seen.info()).doing == "waiting to be restarted"


async def test_any_fault_is_reported_in_one_line() -> None:
    ToyEngine.load_fault = RuntimeError("first line\n  second\tline")
    async with running() as seen:
        await seen.server.wait_ready()
        assert (await seen.info()).problem == "RuntimeError: first line second line"
        told = await asyncio.to_thread(health.check, seen.server.address)
        assert told == (False, "NOT_SERVING: RuntimeError: first line second line")


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        (RuntimeError("no\nmodel"), "its info() raised RuntimeError: no model"),
        (None, "its info() returned NoneType, not EngineInfo"),
    ],
)
async def test_an_engine_that_cannot_say_what_it_loaded(monkeypatch, info, problem) -> None:
    """The first answer is good: it is the one after loading that is not."""
    answers = iter([ToyEngine(ServiceSettings()).info()])

    def changed(self):
        answer = next(answers, info)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(ToyEngine, "info", changed)
    async with running() as seen:
        await seen.server.wait_ready()
        assert (await seen.info()).problem == problem and await seen.health() == NOT_SERVING


async def test_the_same_problem_is_logged_once(monkeypatch, capfd) -> None:
    monkeypatch.setattr(server, "AGAIN_SECONDS", 0.02)
    ToyEngine.load_fault = NotReady("the hub is down", reason="HUB_UNREACHABLE")
    async with running():
        await asyncio.sleep(0.5)
        ToyEngine.load_fault = NotReady("the disk is full", reason="STORAGE")
        await asyncio.sleep(0.2)
    said = "".join(capfd.readouterr())
    assert said.count("the hub is down") == 1 and said.count("the disk is full") == 1


async def test_while_it_loads_it_reports_what_it_does_and_since_when() -> None:
    ToyEngine.loading.clear()
    async with running() as seen:
        assert (await seen.info()).doing == "loading its model"
        with seen.server.service.progress.step("pulling toy: 1.0 of 2.0 GB"):
            await asyncio.sleep(0.1)
            info = await seen.info()
            assert info.doing == "pulling toy: 1.0 of 2.0 GB" and 0.05 < info.doing_seconds < 5
            healthy, line = await asyncio.to_thread(health.check, seen.server.address)
            assert not healthy and line.startswith("NOT_SERVING: pulling toy: 1.0 of 2.0 GB (")
        ToyEngine.loading.set()
        await seen.until(SERVING)


async def test_a_stop_does_not_wait_for_the_engine_to_load(tmp_path: Path) -> None:
    address, log = tmp_path / "address", tmp_path / "log"
    code = (
        "import asyncio, sys, pathlib\n"
        "from merrflow_serving import logs, server\n"
        "from tests.services.serving.toy import SPEC, ToyEngine\n"
        "server.LOADING_SECONDS = 0.1\n"
        "ToyEngine.loading.clear()\n"
        "logs.configure('info', 'json')\n"
        "asyncio.run(server.serve(SPEC, SPEC.settings(port=0), address_file=pathlib.Path(sys.argv[1])))\n"
    )
    with log.open("wb") as errors:
        process = subprocess.Popen([sys.executable, "-c", code, str(address)], stderr=errors)
    try:
        async with asyncio.timeout(60):
            while not address.exists():
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0, "loading takes 30 s"
    finally:
        process.kill()
    assert json.loads(log.read_text().splitlines()[-1])["event"] == "ends while its engine is still loading"


@pytest.mark.parametrize(
    ("service", "variables", "kept_out", "words"),
    [
        ("llama3", {"ENGINE": "transformers"}, "torch", "transformers needs torch, not installed here: pip install"),
        pytest.param(
            "llama3",
            {"ENGINE": "vllm"},
            "vllm",
            "the engine vllm needs vllm, not installed here",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "minigpt-v2",
            {"ENGINE": "minigpt_v2"},
            "torch",
            "needs torch: pip install 'merrflow-minigpt-v2[torch]'",
            marks=pytest.mark.slow,
        ),
        ("llama3", {"ENGINE": "llamacpp"}, "xllamacpp", "xllamacpp, which runs the model, is not installed"),
    ],
)
def test_the_real_process_stays_up_and_says_why(tmp_path: Path, service, variables, kept_out, words) -> None:
    """The services as their containers start them, with something missing."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nfor name in {kept_out.split()!r}: sys.modules[name] = None\n"
    )
    prefix = f"MERRFLOW_{service.replace('-', '_').upper()}_"
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "MERRFLOW_MODELS_DIR": str(tmp_path / "models"),
        **{prefix + name: value for name, value in variables.items()},
    }
    address, log = tmp_path / "address", tmp_path / "log"
    command = [sys.executable, "-m", "merrflow_serving", service, "--port", "0", "--address-file", str(address)]
    with log.open("wb") as errors:
        process = subprocess.Popen(command, env=environment, stderr=errors)
    try:
        healthy, line = False, ""
        while words not in line:
            assert process.poll() is None, log.read_text()
            if address.exists():
                healthy, line = health.check(address.read_text())
        assert not healthy and "\n" not in line
        problems = [one for text in log.read_text().splitlines() if "problem" in (one := json.loads(text))]
        assert len(problems) == 1 and f"NOT_SERVING: {problems[0]['problem']}" == line
        process.terminate()
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()

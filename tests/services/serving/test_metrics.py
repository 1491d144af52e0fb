"""The metrics page, as Prometheus reads it from a running service."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import urllib.request
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import grpc
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc as pb_grpc
from merrflow_serving.engine import EngineInfo
from merrflow_serving.metrics import Metrics, State
from merrflow_serving.server import Server
from merrflow_serving.settings import ServiceSettings
from merrflow_serving.torch.device import Memory
from merrflow_serving.torch.gpu import GpuMonitor, GpuState
from tests.ports import free_port
from tests.services.serving.test_server import _fresh_engine, failure, request  # noqa: F401
from tests.services.serving.toy import SPEC, ToyEngine

MEMORY = Memory(used_bytes=3, total_bytes=10, peak_bytes=5, free_bytes=6)
STATE = State(
    version="0.0.1",
    engine=EngineInfo("toy", "toy-1", "r1", device="cuda:0"),
    ready=True,
    problem=False,
    waiting=2,
    queue_capacity=8,
    max_batch_size=4,
    gpu=GpuState("cuda:0", MEMORY, 0.25),
)


@asynccontextmanager
async def running(wait: bool = True, **settings):
    port = free_port()
    server = Server(SPEC, ServiceSettings(port=0, drain_seconds=5, metrics_port=port, **settings))
    await server.start()
    if wait:
        await server.wait_ready()
    async with grpc.aio.insecure_channel(server.address) as channel:
        try:
            yield server, pb_grpc.ToneDescriberStub(channel), f"http://127.0.0.1:{port}/metrics"
        finally:
            ToyEngine.hold.set()
            await server.stop()


async def read(page: str) -> dict[str, float]:
    """Each series of the page ('name{labels in order}') with its value."""
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(page, timeout=5).read().decode())
    return series(text)


def series(text: str) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()) if name != "service")
            assert sample.labels.get("service", "qwen-audio") == "qwen-audio"
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


async def test_every_rpc_has_its_series_before_the_first_request():
    async with running() as (_, _stub, page):
        found = await read(page)
    for rpc in ("Describe", "DescribeStream"):
        assert found[f'merrflow_requests_total{{code="OK",reason="",rpc="{rpc}"}}'] == 0
        assert found[f'merrflow_requests_in_flight{{rpc="{rpc}"}}'] == 0
        assert found[f'merrflow_request_seconds_count{{rpc="{rpc}"}}'] == 0
    assert found["process_resident_memory_bytes{}"] > 1e6
    assert not [name for name in found if "_created" in name]
    assert not [name for name in found if "gpu" in name], "the engine computes on a CPU"


async def test_outcomes_are_distinguished_by_code_and_reason():
    async with running(max_queue=1, max_batch_size=1) as (_, stub, page):
        await stub.Describe(request(b"x"))
        await failure(stub.Describe(request(b"bad")))
        await failure(stub.Describe(request(b"fault")))
        held = asyncio.ensure_future(stub.Describe(request(b"hold")))
        while [b"hold"] not in ToyEngine.batches:
            await asyncio.sleep(0.01)
        waits = asyncio.ensure_future(stub.Describe(request(b"waits")))
        async with asyncio.timeout(10):
            busy = await read(page)
            while (busy["merrflow_queue_length{}"], busy['merrflow_requests_in_flight{rpc="Describe"}']) != (1, 2):
                busy = await read(page)
        await failure(stub.Describe(request(b"one too many")))
        waits.cancel()
        async with asyncio.timeout(10):  # the service hears a moment later that a caller has left
            while (await read(page))['merrflow_requests_in_flight{rpc="Describe"}'] != 1:
                pass
        ToyEngine.hold.set()
        await held
        async with asyncio.timeout(10):  # and counts an answer just after it is sent
            while (found := await read(page))['merrflow_requests_in_flight{rpc="Describe"}']:
                pass
    assert busy["merrflow_queue_capacity{}"] == 1
    for code, reason, count in (
        ("OK", "", 2),
        ("INVALID_ARGUMENT", "MEDIA_UNREADABLE", 1),
        ("INTERNAL", "ENGINE_FAULT", 1),
        ("RESOURCE_EXHAUSTED", "QUEUE_FULL", 1),
        ("CANCELLED", "", 1),
    ):
        assert found[f'merrflow_requests_total{{code="{code}",reason="{reason}",rpc="Describe"}}'] == count, code
    assert found['merrflow_request_seconds_count{rpc="Describe"}'] == 6
    assert found["merrflow_queue_length{}"] == 0


async def test_batches_show_their_size_and_times():
    async with running(max_delay_ms=100) as (_, stub, page):
        await asyncio.gather(*(stub.Describe(request(b"x")) for _ in range(4)))
        found = await read(page)
    assert found["merrflow_max_batch_size{}"] == 4
    assert found["merrflow_batch_size_sum{}"] == 4
    assert found["merrflow_batch_size_count{}"] < 4
    assert found["merrflow_queue_seconds_count{}"] == 4
    assert found["merrflow_model_seconds_count{}"] == found["merrflow_batch_size_count{}"]
    assert found["merrflow_model_seconds_sum{}"] >= 0.001


async def test_clips_do_not_make_series():
    async with running() as (_, stub, page):
        await stub.Describe(request(b"x", clip="one"))
        before = set(await read(page))
        for number in range(30):
            await stub.Describe(request(b"y", clip=f"clip {number}"))
        assert set(await read(page)) == before
        assert len(before) < 150


async def test_ready_and_problem_follow_the_service():
    ToyEngine.missing_weights = True
    async with running() as (_, _stub, page):
        found = await read(page)
    assert (found["merrflow_ready{}"], found["merrflow_problem{}"]) == (0, 1)
    ToyEngine.missing_weights = False
    async with running() as (server, _stub, page):
        found = await read(page)
        assert (found["merrflow_ready{}"], found["merrflow_problem{}"]) == (1, 0)
        server.service.refuse_new_work()
        found = await read(page)
        assert (found["merrflow_ready{}"], found["merrflow_problem{}"]) == (0, 0)
    (info,) = [name for name in found if name.startswith("merrflow_build_info")]
    for label in (
        'version="0.0.1"',
        'engine="toy"',
        'model="toy-1"',
        'revision="r1"',
        f'host="{socket.gethostname()}"',
    ):
        assert label in info


def page_of(state: State) -> str:
    metrics = Metrics("qwen-audio")
    metrics.expect(SPEC.proto)
    metrics.follow(lambda: state)
    return generate_latest(metrics.registry).decode()


def test_gpu_shows_what_is_known_of_it():
    found = series(page_of(STATE))
    values = {
        name: found[f'merrflow_gpu_memory_{name}_bytes{{device="cuda:0"}}']
        for name in ("used", "peak", "free", "total")
    }
    assert values == {"used": 3, "peak": 5, "free": 6, "total": 10}
    assert found['merrflow_gpu_utilization_ratio{device="cuda:0"}'] == 0.25
    assert "gpu" not in page_of(replace(STATE, gpu=None))
    unknown = page_of(replace(STATE, gpu=GpuState("cuda:0", None, 0.5)))
    assert "gpu_memory" not in unknown and "gpu_utilization" in unknown


def test_gpu_is_measured_by_its_index_and_never_needlessly(monkeypatch):
    asked = []

    def utilization(index: int) -> int:
        asked.append(index)
        return 40

    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(utilization=utilization)))
    assert GpuMonitor().state("cuda:1", lambda: MEMORY) == GpuState("cuda:1", MEMORY, 0.4)
    assert GpuMonitor().state("cuda", None) == GpuState("cuda", None, 0.4)
    assert asked == [1, 0], "never without an index: torch would then take up the card in this process"
    assert GpuMonitor().state("cpu", lambda: MEMORY) is None


def test_gpu_that_cannot_be_measured_hides_nothing_else(monkeypatch):
    def fails(*_: object):
        raise RuntimeError("CUDA error: the launch timed out")

    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(utilization=fails)))
    assert GpuMonitor().state("cuda:0", fails) == GpuState("cuda:0")
    monkeypatch.delitem(sys.modules, "torch")
    assert GpuMonitor().state("cuda:0", lambda: MEMORY) == GpuState("cuda:0", MEMORY)


def test_page_keeps_to_prometheus_conventions():
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    ended = subprocess.run([promtool, "check", "metrics"], input=page_of(STATE), capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr

"""What Kubernetes' probes ask, asked of real services: only what cannot help itself is killed."""

from __future__ import annotations

import asyncio
import threading

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from merrflow_serving.catalog import SERVICES
from merrflow_serving.server import EXIT_LOST, Server
from tests.deploy.kubernetes_objects import KUBERNETES
from tests.services.serving.toy import SPEC, ToyEngine

KINDS = ("startupProbe", "livenessProbe", "readinessProbe")


def asked(name: str) -> dict[str, str]:
    """Probe -> the name whose health it asks for."""
    deployment = next(yaml.safe_load_all((KUBERNETES / f"base/models/{name}.yaml").read_text()))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {kind: container[kind]["grpc"].get("service", "") for kind in KINDS}


async def passing(address: str) -> set[str]:
    """The probes that pass, as the kubelet sees it: an answer, and it is SERVING."""
    found = set()
    async with grpc.aio.insecure_channel(address) as channel:
        for kind, name in asked("llama3").items():
            try:
                reply = await health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(service=name), timeout=5
                )
            except grpc.aio.AioRpcError:
                continue
            if reply.status == health_pb2.HealthCheckResponse.SERVING:
                found.add(kind)
    return found


@pytest.fixture(autouse=True)
def _fresh_engine():
    ToyEngine.missing_weights = False
    ToyEngine.batches = []
    yield
    ToyEngine.missing_weights = False


def test_all_four_ask_alike():
    assert len({tuple(asked(name).items()) for name in SERVICES}) == 1


async def test_a_service_that_loads_is_alive_and_not_ready(monkeypatch):
    may_end = threading.Event()
    monkeypatch.setattr(ToyEngine, "load", lambda self: may_end.wait(30))
    server = Server(SPEC, SPEC.settings(port=0))
    await server.start()
    try:
        assert await passing(server.address) == {"startupProbe", "livenessProbe"}
        may_end.set()
        await server.wait_ready()
        async with asyncio.timeout(10):
            while await passing(server.address) != set(KINDS):
                await asyncio.sleep(0.02)
    finally:
        may_end.set()
        await server.stop()
    assert await passing(server.address) == set()


async def test_a_service_without_its_weights_is_alive_and_not_ready():
    """As one whose token is wrong: killing it would hide what it says, and help nothing."""
    ToyEngine.missing_weights = True
    server = Server(SPEC, SPEC.settings(port=0))
    await server.start()
    await server.wait_ready()
    try:
        assert await passing(server.address) == {"startupProbe", "livenessProbe"}
    finally:
        await server.stop()


def test_a_lost_device_needs_no_probe():
    """The process ends by itself with an exit code that is no success, and Kubernetes starts another."""
    assert EXIT_LOST not in (0, None)
    for name in SERVICES:
        deployment = next(yaml.safe_load_all((KUBERNETES / f"base/models/{name}.yaml").read_text()))
        assert deployment["spec"]["template"]["spec"].get("restartPolicy", "Always") == "Always"

"""The override for real: Prometheus' container finds both replicas of a scaled service by the network's DNS.

Needs Docker, so only with MERRFLOW_TEST_DOCKER=1. Grafana's image is not tried: only a registry has it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from merrflow_serving.catalog import NEEDED
from tests.deploy.stack import ROOT, Stack, defaults, inspect, reason_to_skip, wait_for
from tests.deploy.test_observability_live import fetch
from tests.ports import free_port

STAND_IN = "merrflow/test-prometheus:2"
SECONDS = 120

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")


def prometheus_image() -> str:
    """The image of .env if it can be had, else one made from Debian's package."""
    wanted = defaults()["PROMETHEUS_IMAGE"]
    if not subprocess.run(["docker", "image", "inspect", wanted], capture_output=True).returncode:
        return wanted
    if not subprocess.run(["docker", "pull", "-q", wanted], capture_output=True, timeout=300).returncode:
        return wanted
    folder = ROOT / "tests/deploy/images/prometheus"
    subprocess.run(["docker", "build", "-q", "-t", STAND_IN, str(folder)], check=True, capture_output=True, timeout=600)
    return STAND_IN


@pytest.fixture
def watched(images: None, tmp_path: Path) -> Iterator[Stack]:
    """Prometheus, with two containers of qwen-audio beside it."""
    variables = {"PROMETHEUS_PORT": str(free_port()), "PROMETHEUS_IMAGE": prometheus_image(), "QWEN_AUDIO_PORT": "0"}
    stack = Stack(tmp_path, "deploy/compose/observability.yml", environment=variables)
    try:
        stack.up("--scale", "qwen-audio=2", "qwen-audio", "prometheus")
        yield stack
    finally:
        left = stack.down()
    assert not left


def values(port: int, query: str) -> dict[str, str]:
    """instance: value"""
    return {sample["metric"]["instance"]: sample["value"][1] for sample in fetch(port, "query", query=query)["result"]}


def test_both_replicas_are_read_and_absent_services_are_missed(watched):
    port = int(watched.environment["PROMETHEUS_PORT"])
    wait_for(lambda: list(values(port, "merrflow_ready").values()) == ["1", "1"], SECONDS, "two replicas that serve")
    assert list(values(port, 'up{service="qwen-audio"}').values()) == ["1", "1"]
    hosts = {sample["metric"]["host"] for sample in fetch(port, "query", query="merrflow_build_info")["result"]}
    assert len(hosts) == 2
    (container,) = watched.containers("prometheus")
    wait_for(lambda: inspect(container)["State"]["Health"]["Status"] == "healthy", SECONDS, "its health check")

    def missed() -> set[str]:
        found = fetch(port, "query", query='ALERTS{alertname="MerrflowServiceMissing"}')["result"]
        return {sample["metric"]["service"] for sample in found}

    wait_for(lambda: missed() == set(NEEDED) - {"qwen-audio"}, SECONDS, "the services that do not run")

"""The override for real: Prometheus' container finds both replicas of a scaled service by the network's DNS.

Needs Docker, so only with MERRFLOW_TEST_DOCKER=1. Grafana's image is not tried: only a registry has it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.test_observability_live import fetch

ROOT = Path(__file__).parents[2]
PROJECT = "merrflow-test-metrics"
STAND_IN = "merrflow/test-prometheus:2"
SECONDS = 120

pytestmark = pytest.mark.skipif(
    os.environ.get("MERRFLOW_TEST_DOCKER") != "1" or not shutil.which("docker-compose"),
    reason="set MERRFLOW_TEST_DOCKER=1 to run containers",
)


def prometheus_image() -> str:
    """The image of .env where it can be had, else one made from Debian's package."""
    (wanted,) = [
        line.split("=", 1)[1]
        for line in (ROOT / ".env").read_text().splitlines()
        if line.startswith("PROMETHEUS_IMAGE=")
    ]
    if not subprocess.run(["docker", "image", "inspect", wanted], capture_output=True).returncode:
        return wanted
    if not subprocess.run(["docker", "pull", "-q", wanted], capture_output=True, timeout=300).returncode:
        return wanted
    folder = ROOT / "tests/deploy/images/prometheus"
    subprocess.run(["docker", "build", "-q", "-t", STAND_IN, str(folder)], check=True, capture_output=True, timeout=600)
    return STAND_IN


@pytest.fixture(scope="module")
def prometheus() -> Iterator[int]:
    """The port of Prometheus, with two containers of qwen-audio beside it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    subprocess.run(["deploy/build-images.sh", "qwen-audio"], cwd=ROOT, check=True, capture_output=True, timeout=900)
    variables = {"PROMETHEUS_PORT": str(port), "PROMETHEUS_IMAGE": prometheus_image(), "QWEN_AUDIO_PORT": "0"}
    files = ["-f", "docker-compose.yml", "-f", "deploy/compose/observability.yml"]

    def compose(*arguments: str) -> None:
        command = ["docker-compose", "-p", PROJECT, *files, *arguments]
        ended = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr

    try:
        compose("up", "-d", "--no-build", "--scale", "qwen-audio=2", "qwen-audio", "prometheus")
        yield port
    finally:
        compose("down", "-v", "--remove-orphans")


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            if holds():
                return
        except OSError as error:
            what = f"{what} ({error})"
        assert time.monotonic() < deadline, what
        time.sleep(1)


def health(service: str) -> list[str]:
    names = ["docker", "ps", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}",
             "--filter", f"label=com.docker.compose.service={service}"]  # fmt: skip
    containers = subprocess.run(names, check=True, capture_output=True, text=True).stdout.split()
    inspect = ["docker", "inspect", "--format", "{{.State.Health.Status}}", *containers]
    return subprocess.run(inspect, check=True, capture_output=True, text=True).stdout.split()


def values(port: int, query: str) -> dict[str, str]:
    """instance: value"""
    return {sample["metric"]["instance"]: sample["value"][1] for sample in fetch(port, "query", query=query)["result"]}


def test_both_replicas_are_read_and_absent_services_are_missed(prometheus):
    eventually(lambda: list(values(prometheus, "merrflow_ready").values()) == ["1", "1"], "two replicas that serve")
    assert list(values(prometheus, 'up{service="qwen-audio"}').values()) == ["1", "1"]
    hosts = {sample["metric"]["host"] for sample in fetch(prometheus, "query", query="merrflow_build_info")["result"]}
    assert len(hosts) == 2
    eventually(lambda: health("prometheus") == ["healthy"], "its health check")

    def missed() -> set[str]:
        found = fetch(prometheus, "query", query='ALERTS{alertname="MerrflowServiceMissing"}')["result"]
        return {sample["metric"]["service"] for sample in found}

    eventually(lambda: missed() == {"openface-au", "minigpt-v2", "llama3"}, "the services that do not run")

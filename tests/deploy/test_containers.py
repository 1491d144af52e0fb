"""The images and docker-compose.yml for real: build, start, annotate, compare with a local run, drain, clean up.

Takes minutes, a Docker engine and (the first time) a package index, so only with MERRFLOW_TEST_DOCKER=1. CA, PIP_CONF
and PYTHON_IMAGE are those of deploy/build-images.sh.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from merrflow import annotate
from merrflow_serving import health
from merrflow_serving.catalog import SERVICES

ROOT = Path(__file__).parents[2]
CLIPS = ROOT / "examples/clips"
PROJECT = "merrflow-test"
READY_SECONDS = 300


def _reason_to_skip() -> str:
    if os.environ.get("MERRFLOW_TEST_DOCKER") != "1":
        return "set MERRFLOW_TEST_DOCKER=1 to build and run the images"
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        return "no Docker engine answers"
    return ""


pytestmark = pytest.mark.skipif(bool(_reason_to_skip()), reason=_reason_to_skip() or "-")


class Stack:
    """The compose project under test, on free ports."""

    def __init__(self, out: Path) -> None:
        compose = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
        self.command = [*compose, "-p", PROJECT]
        self.ports: dict[str, int] = {}
        sockets = [socket.socket() for _ in range(len(SERVICES) + 1)]
        for name, one in zip([*SERVICES, "prefect"], sockets, strict=True):
            one.bind(("127.0.0.1", 0))
            self.ports[name] = one.getsockname()[1]
        for one in sockets:
            one.close()
        self.environment = os.environ | {
            f"{name.upper().replace('-', '_')}_PORT": str(port) for name, port in self.ports.items()
        }
        self.environment |= {"CLIPS": str(CLIPS), "OUT": str(out), "OUT_USER": f"{os.getuid()}:{os.getgid()}"}

    def __call__(self, *arguments: str) -> str:
        ended = subprocess.run(
            [*self.command, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=900
        )
        assert ended.returncode == 0, f"{arguments}: {ended.stdout[-3000:]}{ended.stderr[-3000:]}"
        return ended.stdout

    def container(self, name: str) -> str:
        """The id of a service's container, running or not."""
        return listed("container", f"label=com.docker.compose.service={name}").strip()


def inspect(identity: str) -> dict[str, Any]:
    output = subprocess.run(["docker", "inspect", identity], capture_output=True, text=True, check=True).stdout
    return json.loads(output)[0]


def listed(kind: str, *filters: str) -> str:
    """Ids of what belongs to the project: containers, volumes or networks."""
    command = ["docker", kind, "ls", "-q", *(["-a"] if kind == "container" else [])]
    for one in (f"label=com.docker.compose.project={PROJECT}", *filters):
        command += ["--filter", one]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    subprocess.run([ROOT / "deploy/build-images.sh"], check=True, timeout=3600)
    out = tmp_path_factory.mktemp("containers")
    stack = Stack(out)
    try:
        stack("up", "-d", "--no-build")
        yield stack
    finally:
        subprocess.run([*stack.command, "down", "-v", "-t", "60"], cwd=ROOT, env=stack.environment, check=False)


def timeless(folder: Path) -> dict[str, Any]:
    """The records of a run without what may differ between two: times, and where the clips were."""
    records = {}
    for line in (folder / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        del record["seconds"], record["path"]
        for origin in record["origins"].values():
            del origin["queue_seconds"], origin["model_seconds"]
        records[record["name"]] = record
    return records


def test_all_become_healthy(stack):
    deadline = time.monotonic() + READY_SECONDS
    waiting = {*SERVICES, "prefect"}
    while waiting and time.monotonic() < deadline:
        waiting = {name for name in waiting if inspect(stack.container(name))["State"]["Health"]["Status"] != "healthy"}
        time.sleep(1)
    assert not waiting
    for name in SERVICES:
        assert health.check(f"127.0.0.1:{stack.ports[name]}") == (True, "SERVING")


@pytest.mark.parametrize("name", SERVICES)
def test_image_is_small_without_root_and_says_what_it_is(stack, name):
    container = inspect(stack.container(name))
    image = inspect(container["Image"])
    assert image["Size"] < 1_000_000_000
    assert image["Config"]["User"] == "merrflow"
    labels = image["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == f"merrflow {name}"
    assert len(labels["org.opencontainers.image.revision"]) == 40
    assert container["HostConfig"]["ReadonlyRootfs"] and container["HostConfig"]["Memory"]


def test_a_run_gives_what_a_local_run_gives(stack, tmp_path):
    transcripts = ["--transcripts", "/clips/transcripts.csv"]
    stack("run", "--rm", "-T", "annotate", "/clips", "--out", "/out", *transcripts, "--neutral-sample", "1")
    annotate(CLIPS, tmp_path / "local", transcripts=CLIPS / "transcripts.csv", neutral_sample=1.0)
    contained = timeless(Path(stack.environment["OUT"]))
    assert len(contained) == len(list(CLIPS.glob("*.mp4")))
    assert contained == timeless(tmp_path / "local")
    for file in ("merr/MERR_coarse_grained.json", "merr/MERR_fine_grained.json"):
        assert (Path(stack.environment["OUT"]) / file).read_text() == (tmp_path / "local" / file).read_text()


def test_stop_drains(stack):
    identity = stack.container("qwen-audio")
    stack("stop", "qwen-audio")
    assert inspect(identity)["State"]["ExitCode"] == 0, "it ended by itself"
    log = subprocess.run(["docker", "logs", identity], capture_output=True, text=True)
    assert "draining" in log.stdout + log.stderr


def test_down_leaves_nothing(stack):
    stack("down", "-v", "-t", "60")
    assert [listed(kind) for kind in ("container", "volume", "network")] == ["", "", ""]

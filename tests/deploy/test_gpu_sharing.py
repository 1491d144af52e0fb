"""A run in phases with the services' real containers: what starts, what stops, and the records of a local run.

Takes minutes and a Docker engine, so only with MERRFLOW_TEST_DOCKER=1. No GPU is needed: what each container says it
needs is made up here, after it has been asked for real.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from merrflow import annotate
from merrflow.core.errors import InputError
from merrflow.pipeline import open_session as sessions
from merrflow.pipeline.gpu_phases import open_sharing
from merrflow.pipeline.gpu_phases.containers import Containers
from merrflow.pipeline.open_session import open_session
from merrflow.pipeline.request import Request
from merrflow_serving.catalog import SERVICES
from tests.records import timeless

ROOT = Path(__file__).parents[2]
CLIPS = ROOT / "examples/clips"
PROJECT = f"merrflow-gpu-test-{os.getpid()}"
GIB = 1 << 30
SIZES = {"openface-au": 0, "minigpt-v2": 10, "qwen-audio": 10, "llama3": 17}  # GiB, made up


def _reason_to_skip() -> str:
    if os.environ.get("MERRFLOW_TEST_DOCKER") != "1":
        return "set MERRFLOW_TEST_DOCKER=1 to start and stop containers"
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        return "no Docker engine answers"
    return ""


pytestmark = pytest.mark.skipif(bool(_reason_to_skip()), reason=_reason_to_skip() or "-")


def compose(*arguments: str, environment: dict[str, str]) -> None:
    command = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    ended = subprocess.run(
        [*command, "-p", PROJECT, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert ended.returncode == 0, ended.stderr[-3000:]


@pytest.fixture(scope="module")
def project() -> Iterator[None]:
    """The four services' containers, created and not started, on free ports."""
    subprocess.run([ROOT / "deploy/build-images.sh", *SERVICES], check=True, timeout=3600)
    environment = dict(os.environ)
    sockets = [socket.socket() for _ in SERVICES]
    for name, one in zip(SERVICES, sockets, strict=True):
        one.bind(("127.0.0.1", 0))
        environment[f"{name.upper().replace('-', '_')}_PORT"] = str(one.getsockname()[1])
    for one in sockets:
        one.close()
    try:
        compose("up", "--no-start", "--no-build", *SERVICES, environment=environment)
        yield
    finally:
        compose("down", "-v", "-t", "40", environment=environment)


class Watched(Containers):
    """The project's containers with a made-up need, and a note of every start and stop."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.log: list[str] = []

    def describe(self, service: str) -> str:
        found = json.loads(super().describe(service).splitlines()[-1])
        if SIZES[service]:
            found["need"] = {"least_bytes": SIZES[service] * GIB, "full_bytes": SIZES[service] * GIB}
        return json.dumps(found)

    def start(self, services: Any) -> None:
        services = list(services)
        self.log += [f"+{name}" for name in services]
        super().start(services)

    def stop(self, services: Any) -> None:
        services = list(services)
        self.log += [f"-{name}" for name in services]
        super().stop(services)


async def in_turns(containers: Containers, out: Path, monkeypatch: pytest.MonkeyPatch) -> list[frozenset[str]]:
    """A run on a made-up card of 24 GiB; which containers ran in each round."""
    monkeypatch.setattr(sessions, "open_sharing", partial(open_sharing, project=containers))
    request = Request(
        (str(CLIPS),), str(out), str(CLIPS / "transcripts.csv"), overrides={"neutral_sample": 1.0},
        gpu_sharing="sequential", gpu_memory=24 * GIB,
    )  # fmt: skip
    running = []
    async with open_session(request) as session:
        async for names in session.rounds():
            running.append(await asyncio.to_thread(containers.running))
            await session.annotate(names)
        assert (await asyncio.to_thread(session.write_outputs)).complete
    return running


async def test_containers_take_turns_and_the_records_are_those_of_a_local_run(project, tmp_path, monkeypatch):
    containers = Watched.find(SERVICES, PROJECT)
    running = await in_turns(containers, tmp_path / "turns", monkeypatch)
    assert running == [
        set(),
        {"openface-au", "minigpt-v2", "qwen-audio"},
        {"openface-au", "llama3"},
    ], "what fits shares a phase, and openface-au needs no GPU"
    assert containers.log == [
        "+minigpt-v2", "+openface-au", "+qwen-audio", "-minigpt-v2", "-qwen-audio", "+llama3",
        "-llama3", "-openface-au",
    ]  # fmt: skip
    assert containers.running() == frozenset(), "as they were found"
    await asyncio.to_thread(
        annotate, CLIPS, tmp_path / "local", transcripts=CLIPS / "transcripts.csv", neutral_sample=1.0
    )
    assert len(timeless(tmp_path / "turns")) == len(list(CLIPS.glob("*.mp4")))
    assert timeless(tmp_path / "turns") == timeless(tmp_path / "local")

    containers.log.clear()
    assert await in_turns_again(containers, tmp_path / "turns", monkeypatch) == 0
    assert containers.log == [], "nothing to do starts nothing"


async def in_turns_again(containers: Containers, out: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A second run; how many clips it has to work on."""
    monkeypatch.setattr(sessions, "open_sharing", partial(open_sharing, project=containers))
    request = Request(
        (str(CLIPS),), str(out), str(CLIPS / "transcripts.csv"), overrides={"neutral_sample": 1.0},
        gpu_sharing="sequential", gpu_memory=24 * GIB,
    )  # fmt: skip
    async with open_session(request) as session:
        return len(session.todo)


def test_a_container_that_ends_is_told_with_its_last_words(project):
    containers = Containers.find(SERVICES, PROJECT)
    containers.start(["llama3"])
    try:
        assert containers.trouble("llama3") == ""
        labels = [f"label=com.docker.compose.{key}" for key in (f"project={PROJECT}", "service=llama3")]
        found = subprocess.run(
            ["docker", "ps", "-q", "--filter", labels[0], "--filter", labels[1]], capture_output=True, text=True
        )
        subprocess.run(["docker", "kill", found.stdout.strip()], check=True, capture_output=True)
        assert "ended (exit code 137)" in containers.trouble("llama3")
    finally:
        containers.stop(["llama3"])


def test_one_off_containers_leave_nothing_behind(project):
    before = subprocess.run(["docker", "ps", "-aq"], capture_output=True, text=True, check=True).stdout
    found = json.loads(Containers.find(SERVICES, PROJECT).describe("qwen-audio"))
    assert found["engine"]["engine"] == "prosody" and found["need"]["full_bytes"] == 0
    after = subprocess.run(["docker", "ps", "-aq"], capture_output=True, text=True, check=True).stdout
    assert set(after.split()) <= set(before.split())


def test_no_project_says_what_to_do():
    with pytest.raises(InputError, match="docker-compose up --no-start"):
        Containers.find(SERVICES, "merrflow-no-such-project")


def test_no_engine_says_what_to_do(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(InputError, match="no Docker engine answers"):
        Containers.find(SERVICES)

"""A run in phases with the services' real containers: what starts, what stops, and the records of a local run.

Takes minutes and a Docker engine, so only with MERRFLOW_TEST_DOCKER=1. No GPU is needed: each container is asked for
its need, and the answer is replaced by a made-up one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from merrflow.core.errors import InputError
from merrflow.pipeline import open_session as sessions
from merrflow.pipeline.gpu_phases import open_sharing
from merrflow.pipeline.gpu_phases.containers import Containers
from merrflow.pipeline.open_session import open_session
from merrflow.pipeline.request import Request
from merrflow.pipeline.session import Session
from merrflow_serving.catalog import NEEDED
from tests.deploy.stack import Stack, docker, reason_to_skip
from tests.records import timeless

GIB = 1 << 30
SIZES = {"openface-au": 0, "minigpt-v2": 10, "qwen-audio": 10, "llama3": 17}  # GiB, made up
pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")


@pytest.fixture(scope="module")
def project(images: None, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a project in which the services' containers are created and not started."""
    stack = Stack(tmp_path_factory.mktemp("out"), clips=clips)
    try:
        stack("up", "--no-start", "--no-build", *NEEDED)
        yield stack.project
    finally:
        left = stack.down()
    assert not left


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


@asynccontextmanager
async def in_turns(
    containers: Containers, clips: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Session]:
    """A run on a made-up card of 24 GiB."""
    monkeypatch.setattr(sessions, "open_sharing", partial(open_sharing, project=containers))
    request = Request(
        (str(clips),),
        str(out),
        str(clips / "transcripts.csv"),
        overrides={"neutral_sample": 1.0},
        gpu_sharing="sequential",
        gpu_memory=24 * GIB,
    )
    async with open_session(request) as session:
        yield session


async def test_containers_take_turns_and_the_records_are_those_of_a_local_run(
    project, clips, local_run, tmp_path, monkeypatch
):
    containers = Watched.find(NEEDED, project)
    running = []  # containers in each round
    async with in_turns(containers, clips, tmp_path, monkeypatch) as session:
        async for one in session.rounds():
            running.append(await asyncio.to_thread(containers.running))
            await session.annotate(one.names, one.absent)
        assert (await asyncio.to_thread(session.write_outputs)).complete
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
    assert len(timeless(tmp_path)) == len(list(clips.glob("*.mp4")))
    assert timeless(tmp_path) == timeless(local_run)

    containers.log.clear()
    async with in_turns(containers, clips, tmp_path, monkeypatch) as session:
        assert len(session.todo) == 0
    assert containers.log == [], "nothing to do starts nothing"


def test_a_container_that_ends_is_told_with_its_last_words(project):
    containers = Containers.find(NEEDED, project)
    containers.start(["llama3"])
    try:
        assert containers.trouble("llama3") == ""
        labels = [f"label=com.docker.compose.{key}" for key in (f"project={project}", "service=llama3")]
        docker("kill", docker("ps", "-q", "--filter", labels[0], "--filter", labels[1]))
        assert "ended (exit code 137)" in containers.trouble("llama3")
    finally:
        containers.stop(["llama3"])


def test_one_off_containers_leave_nothing_behind(project):
    before = containers_beside_others(project)
    found = json.loads(Containers.find(NEEDED, project).describe("qwen-audio"))
    assert found["engine"]["engine"] == "prosody" and found["need"]["full_bytes"] == 0
    assert containers_beside_others(project) <= before


def containers_beside_others(project: str) -> set[str]:
    """The ids of this project's containers and of those that are in no project: others may come from tests beside."""
    listed = docker("ps", "-a", "--format", '{{.ID}} {{.Label "com.docker.compose.project"}}').splitlines()
    return {identity for identity, _, owner in (line.partition(" ") for line in listed) if owner in ("", project)}


def test_no_project_says_what_to_do():
    with pytest.raises(InputError, match="docker-compose up --no-start"):
        Containers.find(NEEDED, "merrflow-no-such-project")


def test_no_engine_says_what_to_do(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(InputError, match="no Docker engine answers"):
        Containers.find(NEEDED)

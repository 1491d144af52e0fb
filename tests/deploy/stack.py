"""docker-compose.yml under test: a project of its own, on free ports, that cleans up after itself."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from merrflow_serving.catalog import NEEDED, SERVICES
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
CLIPS = ROOT / "examples/clips"
DIALECTS = {"docker-compose": ("docker-compose",), "docker compose": ("docker", "compose")}
STAND_IN = "merrflow/test-postgres:15"  # made by deploy/ci/docker-engine.sh if no registry can be reached
READY_SECONDS = 300
Value = TypeVar("Value")


@cache
def installed(command: tuple[str, ...]) -> bool:
    """Whether this dialect of Compose is there."""
    return bool(shutil.which(command[0])) and not subprocess.run([*command, "version"], capture_output=True).returncode


@cache
def reason_to_skip() -> str:
    """Why no container can be tested here; empty if they can."""
    if os.environ.get("MERRFLOW_TEST_DOCKER") != "1":
        return "set MERRFLOW_TEST_DOCKER=1 to build and run the images"
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        return "no Docker engine answers; deploy/ci/docker-engine.sh starts one"
    return ""


def defaults() -> dict[str, str]:
    """What .env says."""
    lines = (ROOT / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def variable(service: str) -> str:
    """The first part of a service's variables in .env: openface-au -> OPENFACE_AU."""
    return service.upper().replace("-", "_")


def wait_for(what: Callable[[], Value], seconds: float, text: str) -> Value:
    """The first true value of `what()`; an `OSError` counts as none. Fails with `text` when the time is over."""
    deadline = time.monotonic() + seconds
    error: OSError | None = None
    while time.monotonic() < deadline:
        try:
            if value := what():
                return value
        except OSError as raised:
            error = raised
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:.0f} s: {text}{f' ({error})' if error else ''}")


def inspect(identity: str) -> dict[str, Any]:
    """What Docker knows of a container or an image."""
    return json.loads(docker("inspect", identity))[0]


def docker(*arguments: str) -> str:
    """The output of a command of Docker's, which must work."""
    ended = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def log_of(container: str) -> str:
    """What a container wrote, of both streams."""
    ended = subprocess.run(["docker", "logs", container], capture_output=True, text=True)
    return ended.stdout + ended.stderr


def _postgres_image() -> str:
    wanted = os.environ.get("POSTGRES_IMAGE") or defaults()["POSTGRES_IMAGE"]
    there = subprocess.run(["docker", "image", "inspect", wanted], capture_output=True).returncode == 0
    return wanted if there else STAND_IN


class Stack:
    """One Compose project.

    out: the folder for results. overrides: files below the repository, after docker-compose.yml. command: the dialect.
    environment: variables of .env to set otherwise.
    """

    def __init__(
        self,
        out: Path,
        *overrides: str,
        clips: Path = CLIPS,
        command: Sequence[str] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.out, self.clips = out, clips
        self.project = f"merrflow-test-{secrets.token_hex(3)}"
        command = command or next(one for one in DIALECTS.values() if installed(one))
        files = [word for file in ("docker-compose.yml", *overrides) for word in ("-f", file)]
        self.command = [*command, "-p", self.project, *files]
        names = [*NEEDED, "prefect"]
        self.ports = {name: free_port() for name in names}
        self.environment = {f"{variable(name)}_PORT": str(port) for name, port in self.ports.items()} | {
            "CLIPS": str(clips),
            "OUT": str(out),
            "OUT_USER": f"{os.getuid()}:{os.getgid()}",
            "POSTGRES_IMAGE": _postgres_image(),
        }
        self.environment |= environment or {}

    def try_to(self, *arguments: str, seconds: float = 900) -> subprocess.CompletedProcess[str]:
        """Runs Compose; whether that works is for the caller to see."""
        return subprocess.run(
            [*self.command, *arguments],
            cwd=ROOT,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def __call__(self, *arguments: str, seconds: float = 900) -> str:
        """Runs Compose, which must work. Returns its output."""
        ended = self.try_to(*arguments, seconds=seconds)
        assert ended.returncode == 0, f"{arguments}: {ended.stdout[-3000:]}{ended.stderr[-3000:]}"
        return ended.stdout

    def up(self, *arguments: str) -> None:
        """Starts services, all if none is named, from the images that are there."""
        self("up", "-d", "--no-build", *arguments)

    def merrflow(self, *arguments: str) -> str:
        """A command of `merrflow` in the worker."""
        return self("exec", "-T", "worker", "merrflow", *arguments)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, running or not."""
        return self._listed("container", f"label=com.docker.compose.service={service}").split()

    def container(self, service: str) -> str:
        """The id of the only container of a service."""
        (only,) = self.containers(service)
        return only

    def log(self, service: str) -> str:
        """What a service's containers wrote."""
        return "".join(map(log_of, self.containers(service)))

    def published(self, service: str) -> list[int]:
        """The ports of this machine at which the containers of a service of the catalog are."""
        port = f"{SERVICES[service].port}/tcp"
        found = [inspect(one)["NetworkSettings"]["Ports"][port][0] for one in self.containers(service)]
        return [int(one["HostPort"]) for one in found]

    def wait_healthy(self, *services: str, seconds: float = READY_SECONDS) -> None:
        """Returns once every container of the services is healthy; fails with what their checks said."""
        deadline = time.monotonic() + seconds
        while True:
            states = self._states(services)
            sick = {
                name: [one.get("Health", {}).get("Log", [])[-1:] for one in found]
                for name, found in states.items()
                if not found or any(one.get("Health", {}).get("Status") != "healthy" for one in found)
            }
            if not sick:
                return
            if time.monotonic() > deadline:
                logs = "".join(f"\n{name}: {self.log(name)[-2000:]}" for name in sick)
                raise AssertionError(f"not healthy after {seconds} s: {sick}{logs}")
            time.sleep(1)

    def _states(self, services: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The states of each service's containers. Two commands for all: one for each takes a quarter of a core."""
        owner = '{{.ID}} {{.Label "com.docker.compose.service"}}'
        listed = self._listed("container", shown=("--format", owner)).splitlines()
        owners = {identity: name for identity, name in map(str.split, listed) if name in services}
        found = json.loads(docker("inspect", *owners)) if owners else []
        states: dict[str, list[dict[str, Any]]] = {name: [] for name in services}
        for name, one in zip(owners.values(), found, strict=True):
            states[name].append(one["State"])
        return states

    def down(self) -> list[str]:
        """Takes everything away, volumes too. Returns what was left all the same: ids."""
        self("down", "-v", "-t", "60", "--remove-orphans")
        return "".join(self._listed(kind) for kind in ("container", "volume", "network")).split()

    def _listed(self, kind: str, *filters: str, shown: Sequence[str] = ("-q",)) -> str:
        command = [kind, "ls", *shown, *(["-a"] if kind == "container" else [])]
        for one in (f"label=com.docker.compose.project={self.project}", *filters):
            command += ["--filter", one]
        return docker(*command)

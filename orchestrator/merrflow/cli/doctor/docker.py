"""Docker, its runtime for NVIDIA's cards, and the ports that the containers publish."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from merrflow.cli.doctor.compose import setting
from merrflow.cli.doctor.finding import Finding, Situation, unless
from merrflow.flow.report_server import ReportServer
from merrflow_serving.catalog import NEEDED, SERVICES
from merrflow_serving.errors import one_line

_TOOLKIT = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
_OLDEST = (20, 10)  # docs/deployment.md
PREFECT_PORT = 4200  # .env


def inside_container() -> bool:
    """Whether this process is in a container of Docker, Podman or Kubernetes."""
    return (
        Path("/.dockerenv").exists() or Path("/run/.containerenv").exists() or "KUBERNETES_SERVICE_HOST" in os.environ
    )


def engine(situation: Situation) -> Iterator[Finding]:
    """Whether Docker answers, and can give a container a card."""
    if situation.inside and not situation.containers:
        yield Finding("Docker", "ok", "this is a container; Docker is outside of it")
        return
    told, problem = _told(situation.seconds)
    needed = situation.containers
    if problem:
        todo = "install or start Docker, or set DOCKER_HOST (docs/deployment.md); `docker info` must work for this user"
        yield unless(False, "Docker", problem, todo, needed=needed)
        return
    version = str(told.get("ServerVersion", ""))
    yield unless(
        _numbers(version) >= _OLDEST, "Docker", version or "version unknown", "install 20.10 or newer", needed=needed
    )
    user = setting("OUT_USER")
    if "name=rootless" in (told.get("SecurityOptions") or []):
        # There root is the user who started Docker, and any other number is nobody who owns a folder of this machine.
        yield unless(
            user.split(":")[0] == "0",
            "rootless Docker",
            f"OUT_USER={user or 'not set'}",
            "set OUT_USER=0:0, which is you; other numbers may not write to your folders",
            needed=needed,
        )
    wants = any(one.card is not None for one in situation.engines)
    has = "nvidia" in (told.get("Runtimes") or {}) or any(
        str(one.get("ID", "")).startswith("nvidia.com/gpu") for one in told.get("DiscoveredDevices") or []
    )
    yield unless(
        has,
        "Docker's GPU runtime",
        "nvidia" if has else "NVIDIA's container toolkit is not set up",
        f"install it ({_TOOLKIT}), then: sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart "
        "docker",
        needed=needed and wants,
    )


def ports(situation: Situation) -> Iterator[Finding]:
    """Whether the ports are free that services (and, in containers, Prefect) take by default on this machine.

    `merrflow run` starts services on free ports, so only containers and `merrflow serve` need these.
    """
    if situation.inside and not situation.containers:
        return
    wanted = {name: (f"{name.upper().replace('-', '_')}_PORT", SERVICES[name].port) for name in NEEDED}
    wanted |= {"prefect": ("PREFECT_PORT", PREFECT_PORT), "reports": ("REPORTS_PORT", ReportServer().port)}
    taken = False
    for name, (variable, default) in wanted.items():
        port = _chosen(variable, default) if situation.containers else default
        if not port or not _is_taken(port):
            continue
        taken = True
        yield Finding(
            f"port {port}",
            "missing" if situation.containers else "note",
            f"taken; it is the port of {name}",
            f"if that is not {name} itself (`merrflow services`), choose another: {variable}={port + 1000}"
            + (f" REPORTS_URL=http://127.0.0.1:{port + 1000}" if name == "reports" else ""),
        )
    if not taken:
        yield Finding("ports", "ok", "those of the services, Prefect and the reports are free")


def _told(seconds: float) -> tuple[dict[str, Any], str]:
    """What `docker info` says, and why it does not."""
    import docker

    try:
        with closing(docker.from_env(timeout=int(seconds) + 1)) as client:
            return dict(client.info()), ""
    except (docker.errors.DockerException, OSError) as error:
        return {}, f"Docker does not answer ({one_line(error)})"


def _chosen(variable: str, default: int) -> int:
    """The port that the containers are to have; 0 if Docker is to choose, from all or from a range."""
    text = setting(variable) or str(default)
    return int(text) if text.isdigit() else 0


def _is_taken(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just closed is free
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())

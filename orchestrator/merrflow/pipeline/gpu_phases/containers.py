"""The services' containers of a Compose project, through the Docker SDK. Every method blocks."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from merrflow.core.errors import InputError
from merrflow_serving.catalog import SERVICES
from merrflow_serving.errors import NotReady

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

PROJECT, SERVICE, ONE_OFF = (f"com.docker.compose.{name}" for name in ("project", "service", "oneoff"))
STOP_SECONDS = 40  # a service drains for 30
DESCRIBE_SECONDS = 300
LOG_LINES = 5
_HOW = "create the containers with `docker-compose up --no-start` (which starts none)"
# What a one-off container needs to see the same files and devices.
_HOST = {"Devices": "devices", "Runtime": "runtime", "GroupAdd": "group_add", "SecurityOpt": "security_opt"}
_HOST |= {"CapDrop": "cap_drop", "ReadonlyRootfs": "read_only", "Tmpfs": "tmpfs", "ShmSize": "shm_size"}


@dataclass(frozen=True)
class Part:
    """What a run calls by a name of its own."""

    role: str  # a service of the catalog
    compose: str  # the name of its containers' service in the Compose project


class Containers:
    """By service, the containers of one Compose project, including replicas."""

    def __init__(self, client: DockerClient, found: dict[str, list[Container]], parts: Mapping[str, Part]) -> None:
        self._client = client
        self._found = found
        self._parts = parts
        self._restarts: dict[str, int] = {}  # container id -> restarts by Docker before it was started here

    @classmethod
    def find(cls, wanted: Collection[str] | Mapping[str, Part], project: str | None = None) -> Containers:
        """wanted: services of the catalog; or names of the run's own, and what each is. project: its name; by default
        COMPOSE_PROJECT_NAME, or the only project with these services.

        Raises `InputError` with what to do.
        """
        import docker

        parts = wanted if isinstance(wanted, Mapping) else {name: Part(name, name) for name in wanted}
        services = tuple(dict.fromkeys(part.compose for part in parts.values()))
        try:
            client = docker.from_env(timeout=DESCRIBE_SECONDS)
            all_ = client.containers.list(all=True, filters={"label": [SERVICE, f"{ONE_OFF}=False"]})
        except (docker.errors.DockerException, OSError) as error:
            raise InputError(
                f"no Docker engine answers ({_first_line(error)}): --gpu-sharing starts and stops the services' "
                "containers; start Docker, set DOCKER_HOST, or run as a user with access to it"
            ) from error
        chosen = project or os.environ.get("COMPOSE_PROJECT_NAME", "")
        projects: dict[str, dict[str, list[Container]]] = {}
        for one in all_:
            if one.labels[SERVICE] in services and chosen in ("", one.labels[PROJECT]):
                projects.setdefault(one.labels[PROJECT], {}).setdefault(one.labels[SERVICE], []).append(one)
        whole = {name: found for name, found in projects.items() if set(found) == set(services)}
        if len(whole) > 1:
            raise InputError(
                f"several Compose projects have these services: {', '.join(sorted(whole))}; set COMPOSE_PROJECT_NAME "
                "to choose one"
            )
        if not whole:
            raise InputError(_absent(services, projects, chosen))
        (found,) = whole.values()
        paused = [name for name in services if any(one.status == "paused" for one in found[name])]
        if paused:
            raise InputError(f"the container of {paused[0]} is paused: `docker-compose unpause {paused[0]}` first")
        return cls(client, {name: found[part.compose] for name, part in parts.items()}, parts)

    def replicas(self, service: str) -> int:
        """How many containers the service has."""
        return len(self._found[service])

    def running(self) -> frozenset[str]:
        """The services with a running container."""
        return frozenset(name for name in self._found if any(one["State"]["Running"] for one in self._look(name)))

    def address(self, service: str) -> str:
        """The address at which the service is published on this machine. Raises `InputError` if it is not."""
        entry = SERVICES[self._parts[service].role]
        port = entry.port
        published = self._look(service)[0]["HostConfig"]["PortBindings"] or {}
        for binding in published.get(f"{port}/tcp") or []:
            if binding["HostPort"].isdigit() and binding["HostPort"] != "0":
                host = binding["HostIp"] if binding["HostIp"] not in ("", "0.0.0.0", "::") else "127.0.0.1"
                return f"{host}:{binding['HostPort']}"
        raise InputError(
            f"the container of {service} publishes no fixed port for {port}: set {entry.env_prefix}ADDRESS "
            "to where it can be reached"
        )

    def describe(self, service: str) -> str:
        """The output of `describe` in a container of its own, with the service's image, environment, user, volumes and
        devices, but no network. Raises `InputError` with its output if it fails."""
        from docker.errors import DockerException
        from docker.types import DeviceRequest

        like = self._look(service)[0]
        host = {ours: like["HostConfig"][docker] for docker, ours in _HOST.items() if like["HostConfig"].get(docker)}
        requests = [
            DeviceRequest(
                driver=one["Driver"],
                count=one["Count"],
                device_ids=one["DeviceIDs"],
                capabilities=one["Capabilities"],
                options=one["Options"],
            )
            for one in like["HostConfig"].get("DeviceRequests") or []
        ]
        container = None
        try:
            container = self._client.containers.create(
                like["Image"],
                entrypoint=["python3", "-m", "merrflow_serving", "describe", self._parts[service].role],
                command=[],
                environment=like["Config"]["Env"],
                user=like["Config"]["User"],
                volumes_from=[like["Id"]],
                device_requests=requests,
                network_mode="none",
                healthcheck={"test": ["NONE"]},
                **host,
            )
            container.start()
            code = container.wait(timeout=DESCRIBE_SECONDS)["StatusCode"]
            if code:
                said = container.logs(stdout=True, stderr=True, tail=LOG_LINES).decode(errors="replace").strip()
                if "unrecognized arguments" in said:
                    said = "its image is older than this merrflow; build it again and create the container anew"
                raise InputError(f"{service} cannot report what it needs: {said or f'exit code {code}'}")
            return str(container.logs(stdout=True, stderr=False).decode())
        except (DockerException, OSError) as error:
            raise InputError(f"{service} cannot report what it needs: {_first_line(error)}") from error
        finally:
            if container is not None:
                with suppress(DockerException, OSError):
                    container.remove(force=True)

    def start(self, services: Iterable[str]) -> None:
        """Starts all at once. Raises `NotReady` with Docker's reason."""
        self._each(services, self._start)

    def stop(self, services: Iterable[str]) -> None:
        """Stops all at once; each finishes the work it has begun. Raises `NotReady`."""
        self._each(services, self._stop)

    def trouble(self, service: str) -> str:
        """Why a started service will not become ready: it ended, or ends again and again; else ""."""
        for one, look in zip(self._found[service], self._look(service), strict=True):
            state = look["State"]
            again = look["RestartCount"] - self._restarts.get(one.id, 0)
            if (state["Running"] and not again) or (state["Status"] in ("created", "restarting") and not again):
                continue
            log = " ".join(one.logs(tail=LOG_LINES).decode(errors="replace").split())[-500:]
            why = "out of memory" if state["OOMKilled"] else f"exit code {state['ExitCode']}"
            return f"the container {one.name} ended ({why}); its last output: {log or 'none'}"
        return ""

    def _each(self, services: Iterable[str], act: Callable[[Container], None]) -> None:
        containers = [one for name in services for one in self._found[name]]
        if containers:
            with ThreadPoolExecutor(len(containers)) as pool:
                list(pool.map(act, containers))

    def _start(self, container: Container) -> None:
        from docker.errors import DockerException

        try:
            self._restarts[container.id] = self._inspect(container)["RestartCount"]
            container.start()
        except (DockerException, OSError) as error:
            raise NotReady(f"the container {container.name} cannot be started: {_first_line(error)}") from error

    def _stop(self, container: Container) -> None:
        from docker.errors import DockerException

        try:
            if self._inspect(container)["State"]["Running"]:
                container.stop(timeout=container.attrs["Config"].get("StopTimeout") or STOP_SECONDS)
        except (DockerException, OSError) as error:
            raise NotReady(f"the container {container.name} cannot be stopped: {_first_line(error)}") from error

    def _look(self, service: str) -> list[dict[str, Any]]:
        return [self._inspect(one) for one in self._found[service]]

    def _inspect(self, container: Container) -> dict[str, Any]:
        from docker.errors import DockerException

        try:
            container.reload()
        except (DockerException, OSError) as error:
            raise NotReady(f"the container {container.name} is gone: {_first_line(error)}; {_HOW}") from error
        return dict(container.attrs)


def _absent(services: Collection[str], projects: dict[str, Any], wanted: str) -> str:
    if projects:
        name, found = max(projects.items(), key=lambda item: len(item[1]))
        missing = [service for service in services if service not in found]
        return f"the Compose project {name} has no container for {', '.join(missing)}: {_HOW}"
    where = f"the Compose project {wanted} has" if wanted else "there are"
    return f"{where} no containers of the services: {_HOW}; --gpu-sharing starts and stops them"


def _first_line(error: BaseException) -> str:
    text = str(getattr(error, "explanation", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__

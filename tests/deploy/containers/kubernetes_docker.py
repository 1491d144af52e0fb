"""The manifests' pods as Docker containers: the same image, command, environment, user and confinement."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.deploy.kubernetes_objects import Object, Pod, of_kind
from tests.deploy.stack import docker


@dataclass
class Node:
    """Runs pods on a network of its own, in which a service's name resolves to its pod."""

    network: str
    objects: tuple[Object, ...]
    claims: dict[str, Path]  # claim -> folder of this machine
    images: dict[str, str] = field(default_factory=dict)  # instead of an image, another
    containers: list[str] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Node:
        docker("network", "create", self.network)
        return self

    def __exit__(self, *error: object) -> None:
        if self.containers:
            docker("rm", "--force", "--volumes", *self.containers)
        docker("network", "rm", self.network)

    def start(self, pod: Pod) -> str:
        """Starts a pod of one container; returns the Docker container's name."""
        (container,) = pod.containers
        service = pod.owner.partition("/")[2]
        name = f"{self.network}-{service}"
        context, limits = pod.spec["securityContext"], container["resources"]["limits"]
        image = self.images.get(container["image"], container["image"])
        options = ["--detach", "--name", name, "--network", self.network, "--read-only", "--cap-drop=ALL"]
        options += ["--security-opt=no-new-privileges", f"--memory={limits['memory'].removesuffix('i')}"]
        options += [f"--network-alias={alias}" for alias in (service, f"{service}.merrflow.svc")]
        if image == container["image"]:  # another image has other users
            options.append(f"--user={context['runAsUser']}:{context['runAsGroup']}")
        for variable, value in self._environment(container).items():
            options += ["--env", f"{variable}={value}"]
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        for mount in container["volumeMounts"]:
            volume = volumes.get(mount["name"], {})
            if "emptyDir" in volume:
                options += ["--tmpfs", f"{mount['mountPath']}:mode=1777"]
            elif "persistentVolumeClaim" in volume:
                folder = self.claims[volume["persistentVolumeClaim"]["claimName"]]
                options += ["--volume", f"{folder}:{mount['mountPath']}{':ro' if mount.get('readOnly') else ''}"]
            elif "secret" in volume:
                assert volume["secret"]["optional"], "there is none here"
            else:  # a claim of a StatefulSet: the image's own volume
                options += ["--volume", mount["mountPath"]]
        if "workingDir" in container:
            options.append(f"--workdir={container['workingDir']}")
        command = container.get("command", [])
        if command:
            options += ["--entrypoint", command[0]]
        docker("run", *options, image, *command[1:], *container.get("args", []))
        self.containers.append(name)
        return name

    def _environment(self, container: Object) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found |= of_kind(self.objects, "ConfigMap")[source["configMapRef"]["name"]]["data"]
        for item in container.get("env", []):
            secret = item.get("valueFrom", {}).get("secretKeyRef")
            found[item["name"]] = "not-a-secret" if secret else item.get("value", "")
        return found

    def address(self, name: str) -> str:
        """The container's IP address, which this machine can reach."""
        if name not in self.addresses:  # probes ask for it several times a second
            form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
            self.addresses[name] = docker("inspect", "--format", form, name)
        return self.addresses[name]

    def passes(self, pod: Pod, kind: str) -> bool:
        """Asks a probe of a pod that was started, as the kubelet would."""
        (container,) = pod.containers
        probe: dict[str, Any] = container[kind]
        name = f"{self.network}-{pod.owner.partition('/')[2]}"
        if "exec" in probe:
            return (
                subprocess.run(["docker", "exec", name, *probe["exec"]["command"]], capture_output=True).returncode == 0
            )
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        if "httpGet" in probe:
            url = f"http://{self.address(name)}:{ports[probe['httpGet']['port']]}{probe['httpGet']['path']}"
            try:
                with urllib.request.urlopen(url, timeout=probe["timeoutSeconds"]) as answer:
                    return answer.status < 400
            except (urllib.error.URLError, OSError):
                return False
        with grpc.insecure_channel(f"{self.address(name)}:{probe['grpc']['port']}") as channel:
            request = health_pb2.HealthCheckRequest(service=probe["grpc"].get("service", ""))
            try:
                reply = health_pb2_grpc.HealthStub(channel).Check(request, timeout=probe["timeoutSeconds"])
            except grpc.RpcError:
                return False
            return reply.status == health_pb2.HealthCheckResponse.SERVING

"""The Kubernetes manifests as a cluster would get them: rendered by a real kustomize, and with the pods of runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from merrflow_serving.catalog import SERVICES

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
# With TLS they are overlays of one's own, as docs/kubernetes.md has them.
WITH_TLS = {"overlays/small with tls": "overlays/small", "overlays/gpu with tls": "overlays/gpu"}
OVERLAYS = ("base", "overlays/gpu", "overlays/small", *WITH_TLS)
CREDENTIALS = ("cert.pem", "key.pem", "ca.pem", "tokens")
SECRETS = {"secrets/database.env": "password=not-a-secret\n", "overlays/gpu/hub.env": "HF_TOKEN=not-a-token\n"}
SECRETS |= {
    f"tls/certificates/{name}/{file}": f"not the {file} of {name}\n"
    for name in (*SERVICES, "worker")
    for file in CREDENTIALS
}
Object = dict[str, Any]
WORKLOADS = ("Deployment", "StatefulSet", "CronJob", "Job")


def kustomize() -> list[str]:
    """The command that renders a folder. Skips the test where there is none."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    pytest.skip("neither kustomize nor kubectl is installed")


@cache
def render(overlay: str) -> tuple[Object, ...]:
    """The overlay's objects. Rendered in a copy, with the files of secrets that the repository does not have."""
    command = kustomize()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "kubernetes"
        copy_with_secrets(copy)
        if overlay in WITH_TLS:
            mine = {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": [f"../{WITH_TLS[overlay]}"],
                "components": ["../tls"],
            }
            (copy / "mine").mkdir()
            (copy / "mine/kustomization.yaml").write_text(yaml.safe_dump(mine))
            overlay = "mine"
        return build(command, copy / overlay)


def copy_with_secrets(folder: Path) -> None:
    """The manifests, with files of secrets that hold none."""
    shutil.copytree(KUBERNETES, folder, ignore=shutil.ignore_patterns("*.env", "certificates"))
    for name, text in SECRETS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def build(command: list[str], folder: Path) -> tuple[Object, ...]:
    ended = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert not ended.stderr, "kustomize warns"
    return tuple(yaml.load_all(ended.stdout, yaml.CSafeLoader))  # ten times as quick as the other


def of_kind(objects: tuple[Object, ...], *kinds: str) -> dict[str, Object]:
    """Name -> object."""
    return {item["metadata"]["name"]: item for item in objects if item["kind"] in kinds}


@dataclass(frozen=True)
class Pod:
    """A pod that some object makes."""

    owner: str  # such as "Deployment/llama3"
    labels: dict[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def pods(objects: tuple[Object, ...]) -> Iterator[Pod]:
    """Of all workloads, and of a run."""
    for item in objects:
        if item["kind"] in WORKLOADS:
            template = pod_template(item)
            owner = f"{item['kind']}/{item['metadata']['name']}"
            yield Pod(owner, template["metadata"]["labels"], template["spec"])
    template = run_job(objects)["spec"]["template"]
    yield Pod("Job/run", template["metadata"]["labels"], template["spec"])


def pod_template(item: Object) -> Object:
    spec = item["spec"]
    return spec["jobTemplate"]["spec"]["template"] if item["kind"] == "CronJob" else spec["template"]


def job_template(objects: tuple[Object, ...]) -> Object:
    """What the worker registers as the work pool's base job template."""
    worker = of_kind(objects, "Deployment")["worker"]["spec"]["template"]["spec"]
    (volume,) = [volume for volume in worker["volumes"] if volume["name"] == "job-template"]
    return json.loads(of_kind(objects, "ConfigMap")[volume["configMap"]["name"]]["data"]["job-template.json"])


def worker_environment(objects: tuple[Object, ...]) -> dict[str, str]:
    """The worker container's environment, as the kubelet would make it."""
    (container,) = of_kind(objects, "Deployment")["worker"]["spec"]["template"]["spec"]["containers"]
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        found |= of_kind(objects, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    for item in container["env"]:
        source = item.get("valueFrom", {})
        if "fieldRef" in source:
            assert source["fieldRef"] == {"fieldPath": "metadata.namespace"}
            found[item["name"]] = "merrflow"
        else:
            found[item["name"]] = item.get("value", "")
    return found


def run_job(objects: tuple[Object, ...]) -> Object:
    """The Job of a run with the template's defaults; what Prefect's worker adds is not in it (test_kubernetes_jobs)."""
    from prefect.utilities.templating import apply_values

    template = job_template(objects)
    values = {
        name: field["default"] for name, field in template["variables"]["properties"].items() if "default" in field
    }
    values |= {"name": "run", "command": ["prefect", "flow-run", "execute"], "labels": {}}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in worker_environment(objects).items():
            patch.setenv(name, value)
        return apply_values(template["job_configuration"]["job_manifest"], values)


def problems(pod: Pod) -> list[str]:
    """How a pod violates the Pod Security standard "restricted", or our own rules."""
    found = []
    context = pod.spec["securityContext"]
    if not (context["runAsNonRoot"] and context["runAsUser"] in (10001, 999)):
        found.append("runs as root")
    if context["seccompProfile"] != {"type": "RuntimeDefault"}:
        found.append("no seccomp")
    if any(pod.spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
        found.append("a namespace of the host")
    allowed = {"name", "emptyDir", "configMap", "secret", "persistentVolumeClaim"}
    found += [f"volume {volume}" for volume in pod.spec.get("volumes", []) if not set(volume) <= allowed]
    token = pod.spec.get("automountServiceAccountToken", True)
    if token != (pod.owner == "Deployment/worker"):
        found.append("a token")
    for container in pod.containers:
        wanted = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        if container["securityContext"] != wanted:
            found.append(f"{container['name']} is not confined")
        if not {"cpu", "memory"} <= set(container["resources"]["requests"]) or not container["resources"]["limits"]:
            found.append(f"{container['name']} has no bounds")
    return found

"""deploy/kubernetes/tls: what it mounts is what the script makes, it sets settings, and probes ask as before."""

from __future__ import annotations

import asyncio
import re
import subprocess
import threading

import pytest
import yaml

from merrflow.core.settings import RunSettings
from merrflow_serving import health
from merrflow_serving.catalog import NEEDED, SERVICES
from merrflow_serving.server import Server
from merrflow_serving.settings import ServiceSettings
from tests.deploy.kubernetes_objects import (
    CREDENTIALS,
    KUBERNETES,
    ROOT,
    WITH_TLS,
    Object,
    build,
    copy_with_secrets,
    kustomize,
    of_kind,
    pods,
    render,
)
from tests.deploy.test_kubernetes_probes import KINDS, asked
from tests.services.serving.toy import SPEC, ToyEngine

OVERLAYS = pytest.mark.parametrize("overlay", WITH_TLS)


def folder_of(overlay: str, owner: str) -> tuple[Object, set[str]]:
    """The container of a pod, and the files that it finds at /tls."""
    objects = render(overlay)
    (pod,) = [pod for pod in pods(objects) if pod.owner == owner]
    (container,) = pod.containers
    (mount,) = [one for one in container["volumeMounts"] if one["mountPath"] == "/tls"]
    (volume,) = [one for one in pod.spec["volumes"] if one["name"] == mount["name"]]
    assert mount["readOnly"]
    secret = of_kind(objects, "Secret")[volume["secret"]["secretName"]]
    return container, set(secret["data"])


@OVERLAYS
@pytest.mark.parametrize("name", SERVICES)
def test_each_service_has_its_own_certificate_and_asks_for_the_clients(overlay, name):
    container, files = folder_of(overlay, f"Deployment/{name}")
    prefix = SERVICES[name].env_prefix
    told = {item["name"].removeprefix(prefix): item["value"] for item in container["env"] if "value" in item}
    given = {key.lower(): told[key] for key in ("TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA", "TOKEN_FILE")}
    assert {path.removeprefix("/tls/") for path in given.values()} == files == set(CREDENTIALS)
    assert set(given) <= set(ServiceSettings.model_fields)
    service = of_kind(render(overlay), "Service")[name]["spec"]
    assert {port.get("appProtocol") for port in service["ports"]} == {"https"}
    volumes = of_kind(render(overlay), "Deployment")[name]["spec"]["template"]["spec"]["volumes"]
    (secret,) = [volume["secret"]["secretName"] for volume in volumes if "secret" in volume]
    assert secret.startswith(f"tls-{name}-"), "its own, and a renewed one restarts the pods"


@OVERLAYS
@pytest.mark.parametrize("owner", ["Job/run", "CronJob/show-services"])
def test_whoever_calls_has_what_a_client_needs(overlay, owner):
    container, files = folder_of(overlay, owner)
    assert container["envFrom"] == [{"configMapRef": {"name": "run-settings"}}]
    told = of_kind(render(overlay), "ConfigMap")["run-settings"]["data"]
    settings = RunSettings(**{name.removeprefix("MERRFLOW_").lower(): value for name, value in told.items()})
    paths = {str(path) for path in (settings.tls_ca, settings.tls_cert, settings.tls_key, settings.token_file)}
    assert {path.removeprefix("/tls/") for path in paths} == files == set(CREDENTIALS)


def test_without_it_a_run_needs_no_secret():
    (pod,) = [pod for pod in pods(render("base")) if pod.owner == "Job/run"]
    assert [volume["secret"]["optional"] for volume in pod.spec["volumes"] if "secret" in volume] == [True]
    assert "client-tls" not in of_kind(render("base"), "Secret")


@OVERLAYS
@pytest.mark.parametrize("name", SERVICES)
def test_the_probes_are_commands_that_ask_what_the_grpc_probes_ask(overlay, name):
    container, _ = folder_of(overlay, f"Deployment/{name}")
    plain = asked(name)
    for kind in KINDS:
        probe = container[kind]
        assert "grpc" not in probe
        whole = ["python3", "-m", "merrflow_serving.health", name]
        assert probe["exec"]["command"] == (whole if plain[kind] == "" else [*whole, "--alive"])
        assert plain["livenessProbe"] == health.ENGINE and probe["timeoutSeconds"] >= health.SECONDS * 2


def test_the_names_of_the_certificates_are_those_that_runs_call(tmp_path):
    """By the command at the top of the component, unchanged."""
    head = (ROOT / "deploy/kubernetes/tls/kustomization.yaml").read_text().split("apiVersion")[0]
    command = " ".join(re.findall(r"^#   (.*?)\\?$", head, re.MULTILINE)).split()
    assert command[1] == "deploy/kubernetes/tls/certificates"
    subprocess.run([ROOT / command[0], tmp_path, *command[2:]], check=True, capture_output=True)
    told = of_kind(render("base"), "ConfigMap")["run-settings"]["data"]
    for name in NEEDED:
        host = told[f"{SERVICES[name].env_prefix}ADDRESS"].removeprefix("dns:///").rsplit(":", 1)[0]
        shown = ["openssl", "x509", "-noout", "-checkhost", host, "-in", tmp_path / name / "cert.pem"]
        assert "does match" in subprocess.run(shown, check=True, capture_output=True, text=True).stdout
    assert {path.name for path in (tmp_path / "worker").iterdir()} == set(CREDENTIALS)


async def test_a_service_that_loads_is_alive_and_not_ready(monkeypatch):
    may_end = threading.Event()
    monkeypatch.setattr(ToyEngine, "load", lambda self: may_end.wait(30))
    server = Server(SPEC, SPEC.settings(port=0, token="a-token-of-probes"))
    await server.start()
    try:
        monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_PORT", server.address.rsplit(":", 1)[1])
        monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_TOKEN", "a-token-of-probes")
        assert await asyncio.to_thread(health.main, ["qwen-audio"]) == 1
        assert await asyncio.to_thread(health.main, ["qwen-audio", "--alive"]) == 0
        may_end.set()
        await server.wait_ready()
        assert await asyncio.to_thread(health.main, ["qwen-audio"]) == 0
    finally:
        may_end.set()
        await server.stop()
    assert await asyncio.to_thread(health.main, ["qwen-audio", "--alive"]) == 1


def test_the_line_in_the_documentation_adds_it_to_the_overlay_there(tmp_path):
    text = (ROOT / "docs/kubernetes.md").read_text()
    (overlay,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (line,) = re.findall(r"`(components: .*?)`", text)
    copy_with_secrets(tmp_path / "deploy/kubernetes")
    (tmp_path / "my").mkdir()
    (tmp_path / "my/kustomization.yaml").write_text(f"{overlay}{line}\n")
    assert "client-tls" in of_kind(build(kustomize(), tmp_path / "my"), "Secret")


def test_no_secret_is_in_the_repository():
    ignored = (KUBERNETES / ".gitignore").read_text().splitlines()
    assert {"*.env", "/tls/certificates/"} <= set(ignored)
    for path in KUBERNETES.rglob("*.yaml"):
        for item in yaml.safe_load_all(path.read_text()):
            assert item["kind"] != "Secret" if "kind" in item else True, path

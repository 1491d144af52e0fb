"""The Kubernetes manifests: valid by Kubernetes' own schemas, true to the code, confined, and fitting each other."""

from __future__ import annotations

import copy
import re

import pytest

from merrflow.core.settings import RunSettings
from merrflow_serving.catalog import METRICS_PORT, SERVICES
from tests.deploy.kubernetes_objects import (
    OVERLAYS,
    ROOT,
    build,
    copy_with_secrets,
    kustomize,
    of_kind,
    pod_template,
    pods,
    problems,
    render,
    run_job,
)
from tests.deploy.stack import defaults as environment
from tests.deploy.stack import variable
from tests.services.serving.toy import SPEC

VERSIONS = ("1.29", "1.37")  # the oldest that the manifests are for, and the newest whose schemas there are
MEMORY = {"g": "Gi", "m": "Mi"}  # Compose's words and Kubernetes'
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
ON_CARDS = ("minigpt-v2", "qwen-audio", "llama3")
TOOLS = "Deployment/weights"  # where people give commands about weights
each_service = pytest.mark.parametrize("name", SERVICES)


def value(name: str, word: str) -> str:
    """What .env says of a service."""
    return environment()[f"{variable(name)}_{word}"]


def model(overlay: str, name: str) -> dict:
    """The container of a model service."""
    (container,) = of_kind(render(overlay), "Deployment")[name]["spec"]["template"]["spec"]["containers"]
    return container


def settings_of(container: dict) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container["env"] if "value" in item}


@each_overlay
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_and_has_no_unknown_field(overlay, version):
    schemas = pytest.importorskip("kubernetes_validate")
    for item in render(overlay):
        schemas.validate(item, version, strict=True)


def test_the_schemas_refuse_what_is_wrong():
    schemas = pytest.importorskip("kubernetes_validate")
    good = of_kind(render("base"), "Deployment")["llama3"]
    unknown, wrong = copy.deepcopy(good), copy.deepcopy(good)
    unknown["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    wrong["spec"]["template"]["spec"]["containers"][0]["startupProbe"]["grpc"]["port"] = "grpc"
    for bad in (unknown, wrong):
        with pytest.raises(schemas.ValidationError):
            schemas.validate(bad, VERSIONS[-1], strict=True)


@each_overlay
def test_no_object_is_there_twice_and_all_are_in_the_namespace(overlay):
    objects = render(overlay)
    keys = [(item["kind"], item["metadata"]["name"]) for item in objects]
    assert len(keys) == len(set(keys))
    for item in objects:
        outside = item["kind"] in ("Namespace", "PersistentVolume")
        assert item["metadata"].get("namespace") == (None if outside else "merrflow"), item["metadata"]["name"]


@each_overlay
@each_service
def test_ports_and_images_are_those_of_the_catalog_and_of_env(overlay, name):
    entry, container = SERVICES[name], model(overlay, name)
    assert container["ports"] == [
        {"name": "grpc", "containerPort": entry.port},
        {"name": "metrics", "containerPort": METRICS_PORT},
    ]
    real = "gpu" in overlay and name in ON_CARDS
    assert container["image"] == value(name, "GPU_IMAGE" if real else "IMAGE")
    assert "command" not in container and "args" not in container, "the image's own entry point"
    service = of_kind(render(overlay), "Service")[name]["spec"]
    assert [(port["port"], port["targetPort"]) for port in service["ports"]] == [(entry.port, "grpc")]
    assert service["clusterIP"] == "None", "headless, so that its name gives every replica's address"
    assert service["publishNotReadyAddresses"] is True, "clients watch the health, and show why one is not ready"


@each_overlay
def test_the_other_images_are_those_of_env(overlay):
    objects, values = render(overlay), environment()
    for name in ("prefect", "worker"):
        (container,) = of_kind(objects, "Deployment")[name]["spec"]["template"]["spec"]["containers"]
        assert container["image"] == values["ORCHESTRATOR_IMAGE"]
    (database,) = of_kind(objects, "StatefulSet")["postgres"]["spec"]["template"]["spec"]["containers"]
    assert database["image"] == values["POSTGRES_IMAGE"]
    (run,) = run_job(objects)["spec"]["template"]["spec"]["containers"]
    assert run["image"] == values["ORCHESTRATOR_IMAGE"]


@each_overlay
@each_service
def test_memory_limits_and_engines_are_those_of_compose(overlay, name):
    container = model(overlay, name)
    real = "gpu" in overlay and name in ON_CARDS
    limit = value(name, "GPU_MEMORY" if real else "MEMORY")
    assert container["resources"]["limits"]["memory"] == limit[:-1] + MEMORY[limit[-1]]
    assert container["resources"]["limits"].get("nvidia.com/gpu") == ("1" if real else None)
    engine = settings_of(container).get(f"{SERVICES[name].env_prefix}ENGINE")
    assert engine == (value(name, "GPU_ENGINE") if real else None)


@each_service
def test_settings_are_settings_of_the_service(name):
    prefix, container = SERVICES[name].env_prefix, model("overlays/gpu", name)
    given = settings_of(container)
    assert given[f"{prefix}METRICS_HOST"] == "0.0.0.0"
    assert given[f"{prefix}METRICS_PORT"] == str(METRICS_PORT)
    module = __import__(f"{SERVICES[name].module}.settings", fromlist=["*"])
    known = {
        f"{prefix}{field.upper()}"
        for value in vars(module).values()
        if hasattr(value, "model_fields")
        for field in value.model_fields
    }
    known.add("MERRFLOW_MODELS_COMMAND")  # of all that name commands about weights
    assert {setting for setting in given if setting.startswith("MERRFLOW_")} <= known


@each_overlay
def test_runs_are_told_addresses_of_services_that_are_there(overlay):
    objects = render(overlay)
    told = of_kind(objects, "ConfigMap")["run-settings"]["data"]
    fields = {name.removeprefix("MERRFLOW_").lower(): value for name, value in told.items()}
    settings = RunSettings(**fields)
    for name, address in settings.addresses().items():
        assert address == f"dns:///{name}.merrflow.svc:{SERVICES[name].port}"
    assert settings.ledger_url == "postgresql+psycopg://merrflow@postgres.merrflow.svc:5432/merrflow"
    assert {*SERVICES, "postgres", "prefect"} == set(of_kind(objects, "Service"))


@each_overlay
def test_selectors_match_their_pods_and_no_others(overlay):
    objects = render(overlay)
    everyone = list(pods(objects))

    def chosen(selector: dict[str, str]) -> set[str]:
        return {pod.owner for pod in everyone if selector.items() <= pod.labels.items()}

    for kind in ("Deployment", "StatefulSet"):
        for name, item in of_kind(objects, kind).items():
            assert chosen(item["spec"]["selector"]["matchLabels"]) == {f"{kind}/{name}"}
    for name, item in of_kind(objects, "Service").items():
        (owner,) = chosen(item["spec"]["selector"])
        assert owner.endswith(f"/{name}")
        (pod,) = [pod for pod in everyone if pod.owner == owner]
        names = {port["name"] for container in pod.containers for port in container["ports"]}
        assert {port["targetPort"] for port in item["spec"]["ports"]} <= names
    for name, item in of_kind(objects, "PodDisruptionBudget").items():
        assert chosen(item["spec"]["selector"]["matchLabels"]) == {f"Deployment/{name}"}
    for name, item in of_kind(objects, "HorizontalPodAutoscaler").items():
        assert item["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        assert "replicas" not in of_kind(objects, "Deployment")[name]["spec"], "or each apply would undo the scaling"
    assert of_kind(objects, "StatefulSet")["postgres"]["spec"]["serviceName"] in of_kind(objects, "Service")


@each_overlay
def test_what_pods_refer_to_exists(overlay):
    objects = render(overlay)
    data = {
        (kind, name): set(item.get("data", {}))
        for kind in ("ConfigMap", "Secret")
        for name, item in of_kind(objects, kind).items()
    }
    claims, accounts = of_kind(objects, "PersistentVolumeClaim"), of_kind(objects, "ServiceAccount")
    used_claims, used = set(), set()
    for pod in pods(objects):
        assert pod.spec.get("serviceAccountName", "run") in accounts, pod.owner
        volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                used_claims.add(volume["persistentVolumeClaim"]["claimName"])
            if "configMap" in volume:
                used.add(("ConfigMap", volume["configMap"]["name"]))
            if "secret" in volume:
                key = ("Secret", volume["secret"]["secretName"])
                if key in data or not volume["secret"].get("optional"):
                    used.add(key)
        templates = {"data"} if pod.owner == "StatefulSet/postgres" else set()
        mounted = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", [])}
        assert mounted == set(volumes) | templates, pod.owner
        for container in pod.containers:
            for source in container.get("envFrom", []):
                kind = "ConfigMap" if "configMapRef" in source else "Secret"
                used.add((kind, source.get("configMapRef", source.get("secretRef"))["name"]))
            for item in container.get("env", []):
                reference = item.get("valueFrom", {}).get("secretKeyRef")
                if reference:
                    used.add(("Secret", reference["name"]))
                    assert reference["key"] in data["Secret", reference["name"]]
    assert used == set(data), "all there, and none left over"
    assert used_claims == set(claims)
    for name, volume in of_kind(objects, "PersistentVolume").items():
        claim = claims[volume["spec"]["claimRef"]["name"]]["spec"]
        assert claim["volumeName"] == name
        assert claim["accessModes"] == volume["spec"]["accessModes"]
    for binding in of_kind(objects, "RoleBinding").values():
        assert binding["roleRef"]["name"] in of_kind(objects, "Role")
        assert all(who["name"] in accounts for who in binding["subjects"])


@each_overlay
def test_probes_ask_ports_that_are_there(overlay):
    for pod in pods(render(overlay)):
        if pod.owner == TOOLS:
            continue  # it serves nothing
        for container in pod.containers:
            ports = container.get("ports", [])
            known = {port["name"] for port in ports} | {port["containerPort"] for port in ports}
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                probe = container.get(kind)
                if pod.owner.startswith(("Deployment", "StatefulSet")) and kind != "readinessProbe":
                    assert probe, f"{pod.owner} has no {kind}"
                if probe and "exec" not in probe:
                    assert (probe.get("grpc") or probe.get("httpGet"))["port"] in known
                if probe:
                    assert probe["timeoutSeconds"] <= probe["periodSeconds"]


@each_overlay
def test_every_pod_is_confined(overlay):
    objects = render(overlay)
    found = {pod.owner: problems(pod) for pod in pods(objects)}
    # and database, server, worker, show-services, a run
    assert len(found) == len(SERVICES) + 5 + (TOOLS in found) and (TOOLS in found) == ("gpu" in overlay)
    assert not any(found.values()), found
    labels = of_kind(objects, "Namespace")["merrflow"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@each_overlay
@each_service
def test_a_service_has_time_to_drain(overlay, name):
    spec = of_kind(render(overlay), "Deployment")[name]["spec"]["template"]["spec"]
    drain = type(SPEC.settings()).model_fields["drain_seconds"].default
    assert spec["terminationGracePeriodSeconds"] >= drain + 10


def test_small_needs_one_small_node_and_nothing_else():
    objects = render("overlays/small")
    assert not of_kind(objects, "HorizontalPodAutoscaler", "PodDisruptionBudget")
    memory = 0
    for kind in ("Deployment", "StatefulSet"):
        for item in of_kind(objects, kind).values():
            assert item["spec"].get("replicas", 1) <= 1
            for container in pod_template(item)["spec"]["containers"]:
                number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", container["resources"]["requests"]["memory"]).groups()
                memory += int(number) * (1 if unit == "Mi" else 1024)
    assert memory <= 4 * 1024, "MiB, beside which runs have room on a node of 8 GiB"


def test_gpu_services_wait_for_weights_and_their_card():
    objects = render("overlays/gpu")
    for name in ON_CARDS:
        prefix = SERVICES[name].env_prefix
        assert settings_of(model("overlays/gpu", name))[f"{prefix}DEVICE"] == "cuda", "never the CPU, as in Compose"
        item = of_kind(objects, "Deployment")[name]["spec"]
        pod, container = item["template"]["spec"], model("overlays/gpu", name)
        assert item["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}, "cards are few"
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]
        probe = container["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] >= 1800
        assert {"name": "models", "mountPath": "/models"} in container["volumeMounts"]
        (secret,) = container["envFrom"]
        assert secret["secretRef"]["name"].startswith("hub-"), "a new token restarts the pods"
    assert of_kind(objects, "PersistentVolumeClaim")["models"]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_commands_about_weights_work_where_the_services_weights_are():
    objects = render("overlays/gpu")
    pod = of_kind(objects, "Deployment")["weights"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    services = [model("overlays/gpu", name) for name in ON_CARDS]
    assert {one["name"]: one.get("persistentVolumeClaim") for one in pod["volumes"]}["models"] == {
        "claimName": "models"
    }
    assert {"name": "models", "mountPath": "/models"} in container["volumeMounts"]
    assert all(container["envFrom"] == one["envFrom"] for one in services), "the same token"
    commands = {settings_of(one)["MERRFLOW_MODELS_COMMAND"] for one in (container, *services)}
    assert commands == {"kubectl -n merrflow exec deploy/weights -- merrflow models"}
    assert commands.pop() in (ROOT / "docs/kubernetes.md").read_text()


def test_the_overlay_in_the_documentation_moves_every_image(tmp_path):
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/kubernetes.md").read_text(), re.DOTALL)
    copy_with_secrets(tmp_path / "deploy/kubernetes")
    (tmp_path / "my").mkdir()
    (tmp_path / "my/kustomization.yaml").write_text(text)
    objects = build(kustomize(), tmp_path / "my")
    images = {container["image"] for pod in pods(objects) for container in pod.containers}
    assert {image for image in images if not image.startswith("registry.example/merrflow/")} == {
        environment()["POSTGRES_IMAGE"]
    }
    claims = of_kind(objects, "PersistentVolumeClaim")
    assert {claim["spec"]["storageClassName"] for claim in claims.values()} == {"nfs"}

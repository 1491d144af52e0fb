"""Recipes with models behind endpoints: Compose and Kubernetes say the same, and fit the services."""

from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from merrflow_serving.__main__ import load_spec
from merrflow_serving.catalog import SERVICES
from tests.deploy.kubernetes_objects import ROOT, Object, build, copy_with_secrets, kustomize, of_kind, pods, problems
from tests.deploy.stack import defaults, variable
from tests.deploy.test_files import compose

RECIPES = {"vllm": "base", "ollama": "overlays/small", "llama-server": "overlays/small"}
each_recipe = pytest.mark.parametrize("recipe", RECIPES)


def override(recipe: str) -> dict[str, Object]:
    return compose(ROOT / f"deploy/compose/{recipe}.yml")["services"]


@cache
def cluster(recipe: str) -> tuple[Object, ...]:
    """An overlay with the component, as docs/kubernetes.md has it."""
    command = kustomize()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "kubernetes"
        copy_with_secrets(copy)
        mine = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"../{RECIPES[recipe]}"],
            "components": [f"../endpoints/{recipe}"],
        }
        (copy / "mine").mkdir()
        (copy / "mine/kustomization.yaml").write_text(yaml.safe_dump(mine))
        return build(command, copy / "mine")


def thin(services: dict[str, Object]) -> dict[str, dict[str, str]]:
    """Environment of the services whose engine is `openai`, by service."""
    found = {name: one.get("environment", {}) for name, one in services.items() if name in SERVICES}
    return {name: given for name, given in found.items() if given.get(f"{SERVICES[name].env_prefix}ENGINE") == "openai"}


def thin_pods(recipe: str) -> dict[str, dict[str, str]]:
    found = {}
    for name in SERVICES:
        (container,) = of_kind(cluster(recipe), "Deployment")[name]["spec"]["template"]["spec"]["containers"]
        found[name] = {"environment": {one["name"]: one.get("value", "") for one in container["env"]}}
    return thin(found)


@each_recipe
def test_every_variable_is_a_setting_that_the_service_takes(recipe):
    assert thin(override(recipe)).keys() == thin_pods(recipe).keys() != set()
    for given in (thin(override(recipe)), thin_pods(recipe)):
        for name, variables in given.items():
            prefix = SERVICES[name].env_prefix
            ours = {word.removeprefix(prefix).lower(): value for word, value in variables.items() if prefix in word}
            settings = load_spec(name).settings
            assert ours.keys() <= settings.model_fields.keys()
            made = settings(**ours)
            assert made.openai_base_url.endswith("/v1") and made.openai_model


@each_recipe
def test_the_servers_are_there_under_the_names_and_ports_that_services_call(recipe):
    services = override(recipe)
    for name, variables in thin(services).items():
        where = urlsplit(variables[f"{SERVICES[name].env_prefix}OPENAI_BASE_URL"])
        words = " ".join(services[where.hostname].get("command", [])) or "11434"
        assert str(where.port) in (*words.split(), "8000"), "vLLM's own port is 8000"
        model = variables[f"{SERVICES[name].env_prefix}OPENAI_MODEL"]
        pulled = services.get("ollama-pull", {}).get("environment", {}).values()
        assert f"--alias {model} " in words or f"--served-model-name {model} " in words or model in pulled
    found = of_kind(cluster(recipe), "Service")
    for name, variables in thin_pods(recipe).items():
        where = urlsplit(variables[f"{SERVICES[name].env_prefix}OPENAI_BASE_URL"])
        server, namespace, _ = where.hostname.split(".")
        assert namespace == "merrflow" and found[server]["spec"]["ports"][0]["port"] == where.port


@each_recipe
def test_the_servers_are_confined_and_publish_nothing(recipe):
    for name, service in override(recipe).items():
        if name not in SERVICES:
            assert service["cap_drop"] == ["ALL"] and service["mem_limit"] and service["pids_limit"], name
            assert not {"ports", "privileged", "network_mode"} & set(service), name
    for pod in pods(cluster(recipe)):
        assert not problems(pod), pod.owner


@each_recipe
def test_kubernetes_has_the_models_and_images_of_env(recipe):
    deployments = of_kind(cluster(recipe), "Deployment")
    text = yaml.safe_dump([one for name, one in deployments.items() if name not in SERVICES])
    prefix = variable(recipe) + "_"
    named = {
        name: value for name, value in defaults().items() if name.startswith(prefix) and ("/" in value or ":" in value)
    }
    assert named
    for name, value in named.items():
        assert value in text, name
    for name in thin_pods(recipe):
        (container,) = deployments[name]["spec"]["template"]["spec"]["containers"]
        assert container["image"] == defaults()[f"{variable(name)}_OPENAI_IMAGE"]


@each_recipe
@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_every_object_is_valid_and_has_no_unknown_field(recipe, version):
    schemas = pytest.importorskip("kubernetes_validate")
    for item in cluster(recipe):
        schemas.validate(item, version, strict=True)


@each_recipe
def test_only_services_that_ask_an_endpoint_may_call_one(recipe):
    called = {pod.owner.partition("/")[2] for pod in pods(cluster(recipe)) if pod.labels.get("merrflow.io/calls")}
    assert called == set(thin_pods(recipe))
    policies = of_kind(cluster(recipe), "NetworkPolicy")
    (ingress,) = policies["endpoints"]["spec"]["ingress"]
    assert ingress["from"] == [{"podSelector": {"matchLabels": {"merrflow.io/calls": "endpoint"}}}]
    ports = {one["port"] for one in ingress["ports"]}
    servers = [pod for pod in pods(cluster(recipe)) if pod.labels.get("app.kubernetes.io/component") == "endpoint"]
    assert {port["containerPort"] for pod in servers for one in pod.containers for port in one["ports"]} <= ports


def test_vllms_images_are_of_one_version():
    values = defaults()
    version = values["VLLM_IMAGE"].rpartition(":v")[2]
    pins = (ROOT / "services/llama3/constraints-vllm.txt").read_text()
    assert re.findall(r"^vllm==(.*)$", pins, re.M) == [version]
    assert values["VLLM_AUDIO_IMAGE"].endswith(f":{version}")

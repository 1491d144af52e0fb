"""What deployment files say of the services comes from the catalog: they are current, and a service more is in all."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from merrflow_serving.catalog import METRICS_PORT, SERVICES, ServiceEntry
from tests.deploy.kubernetes_objects import build, copy_with_secrets, kustomize, of_kind
from tests.deploy.stack import DIALECTS, ROOT, installed, variable

RECIPES = {ROOT / f"deploy/compose/{name}.yml" for name in ("vllm", "ollama", "llama-server")}
FIFTH = ServiceEntry("new-model", 50060, "merrflow.new_model.v1.New", "merrflow_new_model", "a service more")
OPTIONAL = ServiceEntry("applause", 50061, "merrflow.applause.v1.L", "merrflow_applause", "applause", optional=True)
METADATA = """
[project]
version = "0.1.0"
[tool.merrflow.image]
[tool.merrflow.deploy]
memory = "3g"
requests = { cpu = "2", memory = "2Gi" }
[tool.merrflow.deploy.gpu]
engine = "real"
"""


@pytest.fixture
def generate(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "deploy")
    return importlib.import_module("generate")


def copied(generate, folder: Path, entry: ServiceEntry, metadata: str) -> list:
    """Copies the repository's deployment files, and returns all services and this one."""
    shutil.copytree(ROOT / "deploy/compose", folder / "deploy/compose")
    copy_with_secrets(folder / "deploy/kubernetes")
    for name in (*generate.BLOCKS, *(f"services/{name.replace('-', '_')}/pyproject.toml" for name in SERVICES)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    own = folder / "services" / entry.name.replace("-", "_")
    own.mkdir()
    (own / "pyproject.toml").write_text(metadata)
    return generate.read(folder, [*SERVICES.values(), entry])


@pytest.fixture
def with_fifth(generate, tmp_path):
    """A copy of the repository's deployment files, made for one service more."""
    files = generate.generated(tmp_path, copied(generate, tmp_path, FIFTH, METADATA))
    for path, text in files.items():
        (tmp_path / path).write_text(text)
    return tmp_path


def test_an_optional_service_more_has_a_profile_and_a_component_of_its_own(generate, tmp_path):
    services = copied(generate, tmp_path, OPTIONAL, METADATA.partition("[tool.merrflow.deploy.gpu]")[0])
    with pytest.raises(LookupError, match="deploy/kubernetes/applause/kustomization.yaml is missing"):
        generate.generated(tmp_path, services)
    components = tmp_path / "deploy/kubernetes"
    shutil.copytree(components / "asr", components / "applause")
    files = generate.generated(tmp_path, services)
    defaults = dict(re.findall(r"(?m)^(\w+)=(.*)$", files[".env"]))
    compose = yaml.safe_load(files["docker-compose.yml"])["services"]
    assert compose["applause"]["profiles"] == ["applause"] and compose["whisper"]["profiles"] == ["asr"]
    assert "environment" not in compose["applause"], "it has no weights to pull"
    assert compose["worker"]["environment"]["MERRFLOW_APPLAUSE_ADDRESS"] == "${APPLAUSE_ADDRESS}"
    assert defaults["APPLAUSE_ADDRESS"] == ""
    for name in ("asr", "applause"):
        (generator,) = yaml.safe_load(files[f"deploy/kubernetes/{name}/kustomization.yaml"])["configMapGenerator"]
        own = OPTIONAL if name == "applause" else SERVICES["whisper"]
        address = f"MERRFLOW_{own.name.upper()}_ADDRESS=dns:///{own.name}.merrflow.svc:{own.port}"
        assert generator["literals"] == [address]
    assert "replicas: 0 # deploy/kubernetes/applause" in files["deploy/kubernetes/base/models/applause.yaml"]


def test_the_files_are_current(generate, capsys):
    assert generate.main(["--check"]) == 0, capsys.readouterr().err


def test_a_block_whose_place_is_gone_is_named(generate, with_fifth):
    path = with_fifth / "deploy/compose/replicas.yml"
    path.write_text(path.read_text().replace("# <<< services", ""))
    with pytest.raises(LookupError, match=r"replicas\.yml.*'services'"):
        generate.generated(with_fifth, generate.read(with_fifth, SERVICES.values()))


def test_no_file_is_left_of_a_service_that_is_gone():
    folder = ROOT / "deploy/kubernetes/base/models"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    others = {"kustomization.yaml", "common.yaml", "autoscaling-common.yaml"}
    assert {path.name for path in folder.glob("*.yaml")} - others == set(listed)


def test_every_file_that_lists_the_services_is_generated(generate):
    """None of them names two services by hand; one may be named for what it alone does."""
    for path in [
        *(ROOT / "deploy").rglob("*"),
        ROOT / "docker-compose.yml",
        ROOT / ".env",
        ROOT / "services/Dockerfile",
    ]:
        name = str(path.relative_to(ROOT))
        if not path.is_file() or name in generate.FILES.values() or re.fullmatch(r".*/models/[\w-]+\.yaml", name):
            continue
        hand = re.sub(r"(?ms)^ *# >>> ([\w ]+): make generated\n.*?^ *# <<< \1\n", "", path.read_text(errors="replace"))
        hand = re.sub(r"(?m)^ *#.*$", "", hand)
        assert not re.search(r"\b5005\d\b", hand), f"{name}: a port of the catalog"
        named = {service for service in SERVICES if re.search(rf"\b{service}\b", hand)}
        # Recipes say which model each role asks: no list of services, and test_endpoints.py compares them.
        if name.startswith("deploy/kubernetes/endpoints/") or path in RECIPES:
            continue
        proofs = name == "deploy/observability/alerts_test.yml"  # alerts are proved with some service or other
        assert len(named) < 2 or proofs, f"{name} names {named}"


def test_documentation_and_examples_have_the_ports_of_the_catalog():
    ports = {name: str(entry.port) for name, entry in SERVICES.items()}
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples/clients").rglob("*.*")]:
        if path.suffix in (".md", ".py", ".js", ".sh") and "node_modules" not in path.parts:
            assert set(re.findall(r"\b5005\d\b", path.read_text())) <= set(ports.values()), path
    rows = (ROOT / "docs/calling-services.md").read_text().splitlines()
    for name, entry in SERVICES.items():
        (row,) = [row for row in rows if row.startswith(f"| {name} | `merrflow serve {name}` |")]
        assert f"| {entry.port} | `{entry.proto}/" in row
    for example in ("grpcurl/tone.sh", "node/tone.js", "python/tone_grpc.py"):
        text = (ROOT / "examples/clients" / example).read_text()
        assert re.findall(r"127\.0\.0\.1:(\d+)", text) == [ports["qwen-audio"]], example
    reflection = (ROOT / "examples/clients/python/reflection.py").read_text()
    protos = {entry.port: entry.proto for entry in SERVICES.values()}
    for name, port in re.findall(r"(?m)^(\w+) = Service\(\"127\.0\.0\.1:(\d+)\"\)$", reflection):
        assert f'{name}.call("{protos[int(port)]}/' in reflection
    free = " ".join(f"{variable(name)}_PORT=0" for name in SERVICES)
    assert f"export {free}\n" in (ROOT / "docs/deployment.md").read_text()
    assert f":{METRICS_PORT}/metrics" in (ROOT / "docs/observability.md").read_text()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_compose_has_one_more(with_fifth, dialect):
    if not installed(DIALECTS[dialect]):
        pytest.skip(f"{dialect} is not installed")
    overrides = sorted((with_fifth / "deploy/compose").glob("*.yml"))
    files = [word for path in (with_fifth / "docker-compose.yml", *overrides) for word in ("-f", str(path))]
    command = [*DIALECTS[dialect], "--project-directory", str(with_fifth), *files, "config"]
    ended = subprocess.run(
        command, cwd=with_fifth, env=os.environ | {"CLIPS": str(with_fifth)}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    services = yaml.safe_load(ended.stdout)["services"]
    made = services["new-model"]
    assert set(made) == set(services["minigpt-v2"])
    arguments = made["build"]["args"]
    assert arguments["SERVICE"] == "new-model" and arguments["PORT"] == "50060"
    assert made["environment"]["MERRFLOW_NEW_MODEL_ENGINE"] == "real"
    assert made["environment"]["MERRFLOW_NEW_MODEL_TLS_CERT"] == "/tls/cert.pem"
    assert services["worker"]["environment"]["MERRFLOW_NEW_MODEL_ADDRESS"] == "new-model:50060"


def test_kubernetes_has_one_more(with_fifth):
    objects = build(kustomize(), with_fifth / "deploy/kubernetes/overlays/gpu")
    (container,) = of_kind(objects, "Deployment")["new-model"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "merrflow/new-model:0.1.0-torch"
    assert [port["containerPort"] for port in container["ports"]] == [50060, METRICS_PORT]
    assert {item["name"] for item in container["env"]} >= {
        "MERRFLOW_NEW_MODEL_ENGINE",
        "MERRFLOW_NEW_MODEL_METRICS_PORT",
    }
    for kind in ("Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"):
        assert "new-model" in of_kind(objects, kind)
    (rule, _) = of_kind(objects, "NetworkPolicy")["models"]["spec"]["ingress"]
    assert rule["ports"] == [{"port": 50051, "endPort": 50060}]
    told = of_kind(objects, "ConfigMap")["run-settings"]["data"]
    assert told["MERRFLOW_NEW_MODEL_ADDRESS"] == "dns:///new-model.merrflow.svc:50060"


def test_prometheus_has_one_more(with_fifth):
    folder = with_fifth / "deploy/observability"
    (job, *_) = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"]
    assert job["dns_sd_configs"][0]["names"] == [*SERVICES, "new-model"]
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    command = ["promtool", "test", "rules", "alerts_test.yml"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr

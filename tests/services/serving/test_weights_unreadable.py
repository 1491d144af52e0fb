"""Weights that are there and cannot be used: a real service stays up and says so, and goes on once they can be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from merrflow_serving import health
from merrflow_serving.errors import NotReady
from merrflow_serving.weights import Place, revision
from merrflow_serving.weights.entries import entry
from merrflow_serving.weights.files import check
from merrflow_serving.weights.locate import locate
from merrflow_serving.weights.state import states

# Root reads everything; without these capabilities, what the modes say holds for it too.
_CAPABILITIES = "-dac_override,-dac_read_search"
CONFINED = ["setpriv", "--bounding-set", _CAPABILITIES, "--inh-caps", _CAPABILITIES] if os.geteuid() == 0 else []
# Entries without a known sha256: the few bytes of their files are not what is looked at.
NAMES = {"llama3": "acme/tiny", "minigpt-v2": "eva-vit-g", "qwen-audio": "qwen-audio-chat"}
FILES = {"llama3": "config.json", "minigpt-v2": "eva_vit_g.pth", "qwen-audio": "qwen.tiktoken"}
ENGINES = {"llama3": "transformers", "minigpt-v2": "minigpt_v2", "qwen-audio": "qwen_audio"}


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Path]:
    """A folder for weights."""
    folder = tmp_path / "models"
    folder.mkdir()
    yield folder
    subprocess.run(["chmod", "-R", "u+rwx", folder], check=True)


def put(models: Path, name: str) -> Path:
    """The entry's folder, with the files that it needs."""
    found = entry(name)
    folder = models / found.name
    folder.mkdir()
    for file in found.files:
        (folder / file.name).write_bytes(b"{}")
    if found.patterns:
        (folder / "config.json").write_bytes(b"{}")
        save_file({"x": np.zeros(4, np.float32)}, folder / "model.safetensors")
    return folder


@contextmanager
def serving(service: str, models: Path, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
    """The service as its container starts it, with nothing to download. Gives its log, and the file of its address."""
    address, log = models.parent / "address", models.parent / "log"
    prefix = f"MERRFLOW_{service.replace('-', '_').upper()}_"
    environment = os.environ | {
        "MERRFLOW_MODELS_DIR": str(models),
        "MERRFLOW_OFFLINE": "1",
        f"{prefix}ENGINE": ENGINES[service],
        **({f"{prefix}MODEL": NAMES[service]} if service == "llama3" else {}),
        **{prefix + name: value for name, value in variables.items()},
    }
    command = [sys.executable, "-m", "merrflow_serving", service, "--port", "0", "--address-file", str(address)]
    with log.open("wb") as written:
        process = subprocess.Popen([*CONFINED, *command], env=environment, stderr=written)
    try:
        yield process, log, address
    finally:
        process.kill()
        process.wait()


def problem_of(service: str, models: Path, **variables: str) -> str:
    """What health and log say of it, which is one line."""
    with serving(service, models, **variables) as (process, log, address):
        deadline = time.monotonic() + 90
        while "problem" not in log.read_text():
            assert process.poll() is None, f"it ended: {log.read_text()}"
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        healthy, line = health.check(address.read_text())
        assert not healthy and process.poll() is None
        (problem,) = [
            found["problem"] for text in log.read_text().splitlines() if "problem" in (found := json.loads(text))
        ]
        assert line.startswith(f"NOT_SERVING: {problem[:1000]}") and "\n" not in problem
        return problem


SLOW = {"minigpt-v2", "qwen-audio"}  # as llama3, but for the engine


@pytest.mark.parametrize(
    "service", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in NAMES]
)
def test_a_file_that_may_not_be_read_is_a_problem_and_no_crash(models: Path, service: str) -> None:
    folder = put(models, NAMES[service])
    (folder / FILES[service]).chmod(0)
    problem = problem_of(service, models)
    assert f"the weights {folder.name} in {folder} cannot be read: {FILES[service]}: Permission denied" in problem
    assert f"run as root: chmod -R a+rX {folder}" in problem


@pytest.mark.parametrize("service", ["llama3"])
def test_a_folder_that_may_not_be_entered(models: Path, service: str) -> None:
    folder = put(models, NAMES[service])
    folder.chmod(0)
    assert f"in {folder} cannot be read: " in problem_of(service, models)


def test_a_folder_in_place_of_a_file_counts_as_missing(models: Path) -> None:
    folder = put(models, NAMES["llama3"])
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    with pytest.raises(NotReady, match=r"\(missing: config\.json\)"):
        locate(NAMES["llama3"], Place(models_dir=models, offline=True))


def test_a_folder_of_ones_own_with_a_file_that_may_not_be_read(models: Path) -> None:
    folder = put(models, NAMES["qwen-audio"])
    (folder / "qwen.tiktoken").chmod(0)
    assert "qwen.tiktoken: Permission denied" in problem_of("qwen-audio", models, WEIGHTS=str(folder))


@pytest.mark.slow
def test_a_file_that_is_cut_short(models: Path) -> None:
    folder = put(models, "llama-2-7b-chat")
    problem = problem_of("minigpt-v2", models)
    assert "model-00001-of-00002.safetensors has 2 bytes instead of 9976576152" in problem
    assert f"in {folder} are damaged" in problem and "Then start the service again" in problem
    assert "eva_vit_g.pth" in problem and "minigptv2_checkpoint.pth" in problem, "what else is missing is named at once"


def test_it_serves_as_soon_as_the_file_can_be_read(tmp_path: Path, monkeypatch) -> None:
    """In this process, where a wait of a minute can be made short."""
    found = entry("eva-vit-g")
    folder = tmp_path / found.name
    folder.mkdir()
    (folder / "eva_vit_g.pth").write_bytes(b"\x80weights")
    real = Path.open

    def refused(self: Path, *given, **named):
        if self.name == "eva_vit_g.pth":
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *given, **named)

    monkeypatch.setattr(Path, "open", refused)
    result = check(found, folder, tmp_path)
    assert result.unreadable == ("eva_vit_g.pth: Permission denied",) and result.reason == "MODEL_UNREADABLE"
    assert revision(found.name, Place(models_dir=tmp_path)) == ""
    (state,) = states([found.name], Place(models_dir=tmp_path))
    assert state.word == "damaged" and state.as_json()["damaged"] == ["eva_vit_g.pth: Permission denied"]
    assert len(state.to_get) == 1 and "chmod" in state.to_get[0], "it is there: nothing to download"
    monkeypatch.undo()
    assert check(found, folder, tmp_path).whole


def test_a_table_of_what_may_not_be_read_is_still_listed(models: Path) -> None:
    put(models, "eva-vit-g").chmod(0)
    words = ["models", "list", "eva-vit-g", "--models-dir", str(models)]
    command = [*CONFINED, str(Path(sys.executable).with_name("merrflow")), *words]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "damaged" in said and "cannot be read: eva_vit_g.pth: Permission denied" in said

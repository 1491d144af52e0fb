"""Compose's commands as scripts, and the folder MODELS of several owners."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from merrflow.cli.doctor import compose
from merrflow.cli.doctor.engines import Chosen
from tests.orchestrator.cli.doctor.situations import fake_command, situation

OLD = 'case $1 in --version) echo "Docker version 20.10.24, build 297e128" ;; *) exit 1 ;; esac'
NEW = 'case $1 in --version) echo "Docker version 28.2.2, build e6534b4" ;; compose) echo 2.26 ;; *) exit 1 ;; esac'
WHOLE = 'case $1 in --version) echo "Docker version 28.2.2, build e6534b4" ;; *) echo there ;; esac'


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch) -> None:
    """Nothing of this machine is seen but what a test puts there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin")
    for name in ("MODELS", "OUT_USER"):
        monkeypatch.delenv(name, raising=False)


def told(tmp_path: Path, **scripts: str) -> dict[str, str]:
    for name in ("docker", "docker-compose"):
        fake_command(tmp_path / "bin", name, scripts.get(name.replace("-", "_"), "exit 1"))
    return {one.check: one.state for one in compose.tools(situation(containers=True))}


def test_an_old_docker_builds_by_itself_and_a_new_one_by_its_plug_in(tmp_path: Path) -> None:
    assert told(tmp_path, docker=OLD, docker_compose="echo 1.29.2") == {"Compose": "ok", "BuildKit": "ok"}
    assert told(tmp_path, docker=NEW) == {"Compose": "note", "BuildKit": "missing"}
    assert told(tmp_path, docker=WHOLE, docker_compose="echo 2.26") == {"Compose": "ok", "BuildKit": "ok"}
    assert told(tmp_path)["Compose"] == "missing"
    assert not list(compose.tools(situation()))


def folder_of_weights(**fields: object) -> dict[str, str]:
    one = Chosen("llama3", "transformers", weights=("llama-3-8b-instruct",))
    return {one.check: one.state for one in compose.weights_folder(situation(one, **{"containers": True, **fields}))}


def test_the_folder_models_must_be_there_and_belong_to_the_containers_user(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(compose.shutil, "disk_usage", lambda path: type("", (), {"free": 10**13}))
    user = os.geteuid()
    Path(".env").write_text(f"MODELS=./models\nOUT_USER={user}:{os.getegid()}\n")
    assert folder_of_weights()["folder MODELS"] == "missing", "Docker would make it, for root"
    Path("models").mkdir()
    assert folder_of_weights() == {"disk of weights": "ok", "folder MODELS": "ok"}
    monkeypatch.setenv("OUT_USER", f"{user + 1}:{os.getegid() + 1}")
    assert folder_of_weights()["folder MODELS"] == "missing"
    Path("models").chmod(0o777)
    assert folder_of_weights()["folder MODELS"] == "ok"
    assert not folder_of_weights(containers=False)
    monkeypatch.setenv("MODELS", "models")
    assert not folder_of_weights(), "a volume"


def test_a_disk_that_is_too_small_for_weights_of_containers(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(compose.shutil, "disk_usage", lambda path: type("", (), {"free": 10**10}))
    monkeypatch.setenv("MODELS", str(tmp_path))
    assert folder_of_weights()["disk of weights"] == "missing"

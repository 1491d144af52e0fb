"""`merrflow doctor`, as typed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from merrflow.cli.doctor import groups
from merrflow.cli.doctor.finding import Situation
from tests.forks import merrflow
from tests.orchestrator.cli.doctor.situations import fake_command, situation

CARD = "echo '0, GPU-aaa, Small Card, 535.10.01, 8.6, 24564, 24000'"


def typed(tmp_path: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    unset = {name: None for name in os.environ if name.startswith(("MERRFLOW_", "HF_"))}
    own = {"MERRFLOW_MODELS_DIR": str(tmp_path / "models"), "MERRFLOW_OFFLINE": "1"}
    return merrflow("doctor", *words, variables=unset | own | variables)


def test_embedded_engines_lack_nothing(tmp_path: Path) -> None:
    done = typed(tmp_path, "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is missing" in done.stdout


def test_a_real_engine_on_a_machine_with_an_old_driver(tmp_path: Path) -> None:
    fake_command(tmp_path / "bin", "nvidia-smi", CARD)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = typed(tmp_path, "--json", "--engine", "llama3=transformers", PATH=path)
    assert done.returncode == 1, done.stderr
    rows = {row["check"]: row for row in json.loads(done.stdout)}
    assert rows["driver"]["found"] == "535.10.01"
    assert rows["card 0"]["state"] == rows["card's memory"]["state"] == "ok"
    assert rows["llama-3-8b-instruct"]["state"] == rows["huggingface"]["state"] == "missing"


@pytest.mark.parametrize("word", ["llama3", "llama3=", "llama4=transformers"])
def test_unusable_arguments(tmp_path: Path, word: str) -> None:
    done = typed(tmp_path, "--engine", word)
    assert (done.returncode, "--engine" in done.stderr) == (2, True)


def test_a_check_that_fails_hides_no_other(monkeypatch) -> None:
    def broken(_: Situation):
        raise RuntimeError("a bug")

    monkeypatch.setattr(groups, "GROUPS", {"one": (broken,), **groups.GROUPS})
    found = groups.examine(situation())
    assert (found[0][1].state, "a bug" in found[0][1].found) == ("missing", True)
    assert {group for group, _ in found} >= {"versions", "cards", "folders"}

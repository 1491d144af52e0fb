"""`merrflow models`, as typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from merrflow.cli import models as command
from merrflow.core.errors import InputError
from merrflow_serving.errors import NotReady
from merrflow_serving.weights import entries


def typed(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(command.app, list(words), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(autouse=True)
def _plain(monkeypatch, tmp_path: Path) -> None:
    """The command's console writes to the runner's stdout; nothing of this machine's own models is seen."""
    from rich.console import Console

    class Now(Console):
        @property
        def file(self):
            return sys.stdout

        @file.setter
        def file(self, value) -> None: ...

    monkeypatch.setattr(command, "output_console", lambda: Now(width=200, highlight=False))
    monkeypatch.setenv("MERRFLOW_MODELS_DIR", str(tmp_path / "models"))
    for name in ("MERRFLOW_HUB", "MERRFLOW_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


def test_list_names_every_entry_with_licence_and_steps(tmp_path: Path) -> None:
    text = typed("list")
    for entry in entries().values():
        assert entry.name in text and entry.licence in text and entry.outputs in text
    assert "gdown --continue 1aVbfW7nkCSYx99_vCRyP1sOlQiWVSnAl" in text
    assert f"curl -L --fail -C - -o {tmp_path}/models/eva-vit-g/eva_vit_g.pth https://storage.googleapis.com" in text
    found = json.loads(typed("list", "--json"))
    assert [one["name"] for one in found] == list(entries())
    assert {one["state"] for one in found} == {"absent"}
    assert all(one["to_get"] for one in found)


def test_list_tells_the_hub_asked_for() -> None:
    def steps(*words: str) -> list[str]:
        return json.loads(typed("list", "llama-3-8b-instruct", "--json", *words))[0]["to_get"]

    assert steps() == steps("--hub", "huggingface")
    assert "https://huggingface.co/meta-llama/Meta-Llama-3-8B-Instruct and accept" in steps()[0] and len(steps()) == 3
    assert steps("--hub", "modelscope") == ["run: merrflow models pull llama-3-8b-instruct --hub modelscope"]


def test_state_follows_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "qwen-audio-chat"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    found = json.loads(typed("list", "qwen-audio-chat", "--json"))[0]
    assert found["state"] == "partial" and "qwen.tiktoken" in found["missing"]
    assert "missing: qwen.tiktoken" in typed("list", "qwen-audio-chat")


def test_verify_exit_code_tells(tmp_path: Path) -> None:
    assert "no weights in" in typed("verify")
    folder = tmp_path / "models" / "minigpt-v2"
    folder.mkdir(parents=True)
    (folder / "minigptv2_checkpoint.pth").write_bytes(b"PK\x03\x04 cut")
    text = typed("verify", code=1)
    assert "minigptv2_checkpoint.pth is cut short" in text
    (folder / "minigptv2_checkpoint.pth").unlink()
    typed("verify", "minigpt-v2", code=1)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("list", "llama-4"), "there are: llama-3-8b-instruct"),
        (("pull", "llama-4"), "there are: llama-3-8b-instruct"),
        (("list", "--hub", "github"), "huggingface, modelscope"),
    ],
)
def test_what_is_no_name_is_refused(words: tuple[str, ...], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        typed(*words)


def test_pull_is_refused_offline(monkeypatch) -> None:
    monkeypatch.setenv("MERRFLOW_OFFLINE", "1")
    with pytest.raises(InputError, match="MERRFLOW_OFFLINE"):
        typed("pull", "qwen-audio-chat")


def test_small_weights_have_their_size_in_megabytes() -> None:
    assert "2.7 MB" in typed("list", "openface-predictors")


def test_pull_of_openfaces_files_asks_for_its_licence_first() -> None:
    with pytest.raises(InputError, match=r"non-commercial .*https://\S+: read it .*--accept-licence"):
        typed("pull", "openface-predictors")


def test_pull_of_what_no_hub_has_gives_the_steps() -> None:
    with pytest.raises(NotReady, match=r"\(1\) pip install gdown; \(2\) mkdir -p .*gdown --continue"):
        typed("pull", "minigpt-v2")


def test_the_command_imports_no_model_library() -> None:
    code = (
        "import sys, merrflow.cli.models as m; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(m.app, ['list']).exit_code == 0; "
        "heavy = ('torch', 'transformers', 'huggingface_hub', 'modelscope_hub'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""What is looked for before gigabytes of weights are pulled."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from merrflow_serving.errors import NotReady
from merrflow_serving.torch.settings import TorchSettings
from merrflow_serving.weights import Place, locate


class Settings(TorchSettings):
    model_config = TorchSettings.model_config | {"env_prefix": "MERRFLOW_SOME_"}


@pytest.fixture(autouse=True)
def _no_pull(monkeypatch):
    def pull(*args: object) -> None:
        raise AssertionError("nothing may be pulled")

    monkeypatch.setattr("merrflow_serving.weights.pull.pull", pull)


@pytest.mark.parametrize(
    ("engine", "kept_out", "words"),
    [
        ("transformers", "torch", r"engine transformers needs torch, not installed here: .*'merrflow-llama3\[torch\]'"),
        ("qwen2_audio", "transformers", "engine qwen2_audio needs transformers, not installed here"),
        (
            "vllm",
            "vllm",
            "engine vllm needs vllm, not installed here: `EXTRAS=vllm deploy/build-images.sh llama3`",
        ),
        ("faster_whisper", "faster_whisper", r"needs faster_whisper, .*: pip install 'merrflow-whisper\[embedded\]'"),
    ],
)
def test_packages(tmp_path: Path, monkeypatch, engine: str, kept_out: str, words: str) -> None:
    monkeypatch.setitem(sys.modules, kept_out, None)
    with pytest.raises(NotReady, match=words) as caught:
        locate("llama-3-8b-instruct", Settings(models_dir=tmp_path, engine=engine))
    assert caught.value.reason == "LIBRARY_MISSING"


def test_an_engine_without_torch_needs_none(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(AssertionError, match="nothing may be pulled"):
        locate(
            "faster-whisper-base",
            Settings(models_dir=tmp_path, device="cuda", engine="faster_whisper", offline=False),
        )


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="'cuda:99' is set, but torch .*MERRFLOW_SOME_DEVICE=auto or cpu") as caught:
        locate("llama-3-8b-instruct", Settings(models_dir=tmp_path, device="cuda:99", engine="transformers"))
    assert caught.value.reason == "DEVICE_MISSING"


def test_the_command_line_pulls_for_other_machines(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(AssertionError, match="nothing may be pulled"):
        locate("llama-3-8b-instruct", Place(models_dir=tmp_path, offline=False))

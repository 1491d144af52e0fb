"""An engine's share of a card, from what it announces to where torch is capped. The card is faked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic_settings import SettingsConfigDict

from merrflow_serving.errors import NotReady
from merrflow_serving.machine import Memory
from merrflow_serving.torch import device as devices
from merrflow_serving.torch.card import CONTEXT_BYTES, FOLDER, GIB, CardShare
from merrflow_serving.torch.engine import OnTorch
from merrflow_serving.torch.need import Need
from merrflow_serving.torch.settings import TorchSettings
from merrflow_serving.weights import entry
from tests.services.faked_card import claims, fake_card

TOTAL = 80 * GIB


class Settings(TorchSettings):
    model_config = SettingsConfigDict(env_prefix="MERRFLOW_LLAMA3_", extra="ignore")


class Engine(OnTorch[Settings]):
    def __init__(self, folder: Path) -> None:
        self._settings = Settings(models_dir=folder, device="cuda")
        self.needed: Need | NotReady = Need(16 * GIB, 35 * GIB)

    def _need(self, device: torch.device, dtype: torch.dtype) -> Need:
        if isinstance(self.needed, NotReady):
            raise self.needed
        return self.needed


@pytest.fixture
def engine(tmp_path: Path, monkeypatch) -> Engine:
    fake_card(monkeypatch, Memory(0, TOTAL, 0, TOTAL - CONTEXT_BYTES))
    return Engine(tmp_path)


def claimed(folder: Path) -> dict:
    (claim,) = claims(folder)
    return claim


def test_what_it_needs_is_announced_and_taken_back(engine: Engine, tmp_path: Path) -> None:
    engine._announce("llama-3-8b-instruct")
    assert claimed(tmp_path) == {
        "service": "llama3", "least": 16 * GIB, "full": 35 * GIB, "owed": 16 * GIB, "waits": True,
    }  # fmt: skip
    with engine._turn() as part:
        assert part.left() == TOTAL - CONTEXT_BYTES and not part.is_small()
    assert claimed(tmp_path)["waits"] is False and claimed(tmp_path)["full"] == 35 * GIB
    engine._leave()
    assert not claims(tmp_path)


def test_without_its_weights_their_size_is_announced(engine: Engine, tmp_path: Path) -> None:
    engine.needed = NotReady("no config.json", reason="MODEL_MISSING")
    engine._announce("llama-3-8b-instruct", "no-such-entry")
    assert claimed(tmp_path)["least"] == entry("llama-3-8b-instruct").bytes + CONTEXT_BYTES


def test_torch_is_kept_within_a_part_that_is_small(engine: Engine, tmp_path: Path, monkeypatch) -> None:
    capped = []
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: capped.append(round(share, 3))
    )
    engine._announce()
    with engine._turn() as part:
        engine._cap(part)
        assert capped == []
        other = CardShare(tmp_path / FOLDER / "GPU-1", "qwen-audio", lambda: Memory(0, TOTAL, 0, TOTAL))
        other.claim(Need(60 * GIB, 70 * GIB))
        engine._cap(part)
    spare = 80 - 16 - 60
    assert capped == [round((16 + spare * 19 / 29 - 0.75) / 80, 3)]
    other.close()
    engine._leave()


def test_on_a_cpu_nothing_is_announced_or_capped(engine: Engine, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(devices, "device_of", lambda settings: torch.device("cpu"))
    monkeypatch.setattr(devices, "memory", lambda device: Memory(1, 10, 1, 9))
    engine._announce("llama-3-8b-instruct")
    with engine._turn() as part:
        engine._cap(part)
        assert part.left() == 9
    assert not (tmp_path / FOLDER).exists()

"""GPU memory of the engine `minigpt_v2`, told from shapes alone."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import LlamaConfig

from merrflow_minigpt_v2 import SPEC
from merrflow_serving.errors import NotReady
from merrflow_serving.torch import device as devices
from merrflow_serving.torch.estimate import GIB
from tests.services.cards import CARD_24_GB


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "device_of", lambda settings: torch.device("cuda", 0))
    monkeypatch.setattr(devices, "dtype_of", lambda settings, device: torch.bfloat16)
    # transformers' defaults are Llama-2-7B's shape
    (tmp_path / "config.json").write_text(json.dumps(LlamaConfig().to_dict()))
    return tmp_path


def test_its_largest_batch_fits_a_24_gb_card(folder):
    need = SPEC.make_engine(SPEC.settings(engine="minigpt_v2", language_weights=str(folder))).need()
    assert 14.5 * GIB < need.least < need.full < CARD_24_GB
    more = SPEC.make_engine(SPEC.settings(engine="minigpt_v2", language_weights=str(folder), max_batch_size=32)).need()
    assert more.least == need.least and more.full > need.full + 20 * 512 * (512 << 10)


def test_without_weights_it_says_so(folder):
    (folder / "config.json").unlink()
    with pytest.raises(NotReady, match=r"config\.json"):
        SPEC.make_engine(SPEC.settings(engine="minigpt_v2", language_weights=str(folder))).need()


def test_on_a_cpu_it_needs_none_of_it():
    assert SPEC.make_engine(SPEC.settings(engine="minigpt_v2", device="cpu")).need() is None

"""GPU memory of the llama3 engines, told from a config alone."""

from __future__ import annotations

import json

import pytest
import torch

from merrflow_llama3 import SPEC
from merrflow_serving.errors import NotReady
from merrflow_serving.torch import device as devices
from merrflow_serving.torch.estimate import GIB
from tests.services.cards import CARD_24_GB, CARD_80_GB

LLAMA_3_8B = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "device_of", lambda settings: torch.device("cuda", 0))
    monkeypatch.setattr(devices, "dtype_of", lambda settings, device: torch.bfloat16)
    monkeypatch.setattr(devices, "attention_of", lambda settings, device: "sdpa")
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_3_8B))
    return tmp_path


def engine(name: str, folder, **settings):
    return SPEC.make_engine(SPEC.settings(engine=name, weights=str(folder), **settings))


def test_the_8b_fits_a_24_gb_card_with_few_answers_and_an_80_gb_card_with_all(folder):
    need = engine("transformers", folder).need()
    assert 15.7 * GIB < need.least < CARD_24_GB < need.full < CARD_80_GB
    assert need.share == 0.0


def test_fewer_answers_and_a_shorter_context_need_less(folder):
    need = engine("transformers", folder).need()
    fewer = engine("transformers", folder, max_batch_size=8).need()
    assert fewer.least == need.least and fewer.full < need.full
    assert engine("transformers", folder, context_tokens=1024).need().full < need.full


def test_vllm_takes_its_share_of_the_card(folder):
    need = engine("vllm", folder, gpu_share=0.5).need()
    assert need.share == 0.5 and 15 * GIB < need.least < CARD_24_GB
    assert need.on(80 * GIB).full == 40 * GIB


def test_on_a_cpu_it_needs_none_of_it(tmp_path):
    assert engine("transformers", tmp_path, device="cpu").need() is None


def test_without_weights_it_says_so(folder):
    (folder / "config.json").unlink()
    with pytest.raises(NotReady, match="config cannot be read"):
        engine("transformers", folder).need()

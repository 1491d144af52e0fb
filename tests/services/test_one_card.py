"""Whether one card of 80 GB holds all three original models, with the batch sizes in force (docs/gpu-sharing.md)."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import LlamaConfig

import merrflow_llama3
import merrflow_minigpt_v2
import merrflow_qwen_audio
from merrflow_llama3.engines.transformers.batching import STEP_TOKENS
from merrflow_llama3.engines.transformers.memory import plan
from merrflow_serving.torch import device as devices
from merrflow_serving.torch.card import CONTEXT_BYTES, GIB, Claim, part_of
from merrflow_serving.torch.need import Need
from tests.services.cards import CARD_24_GB, CARD_80_GB
from tests.services.llama3.test_need import LLAMA_3_8B
from tests.services.qwen_audio.test_qwen_checkpoint import PUBLISHED


@pytest.fixture
def needs(tmp_path, monkeypatch) -> dict[str, Need]:
    """Service -> what its original model needs, from the published shapes."""
    monkeypatch.setattr(devices, "device_of", lambda settings: torch.device("cuda", 0))
    monkeypatch.setattr(devices, "dtype_of", lambda settings, device: torch.bfloat16)
    monkeypatch.setattr(devices, "attention_of", lambda settings, device: "sdpa")
    shapes = {"minigpt-v2": LlamaConfig().to_dict(), "qwen-audio": PUBLISHED, "llama3": LLAMA_3_8B}
    for name, shape in shapes.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(shape))
    minigpt, qwen, llama = merrflow_minigpt_v2.SPEC, merrflow_qwen_audio.SPEC, merrflow_llama3.SPEC
    folder = {name: str(tmp_path / name) for name in shapes}
    engines = {
        "minigpt-v2": minigpt.make_engine(minigpt.settings(engine="minigpt_v2", language_weights=folder["minigpt-v2"])),
        "qwen-audio": qwen.make_engine(qwen.settings(engine="qwen_audio", weights=folder["qwen-audio"])),
        "llama3": llama.make_engine(llama.settings(engine="transformers", weights=folder["llama3"])),
    }
    return {name: engine.need() for name, engine in engines.items()}


def test_all_three_fit_on_80_gb_with_smaller_batches_and_not_with_the_largest(needs):
    assert sum(one.least for one in needs.values()) < CARD_80_GB < sum(one.full for one in needs.values())
    claims = [Claim(name, one.least, one.full, one.least) for name, one in needs.items()]
    parts = {one.service: part_of(one, [other for other in claims if other is not one], CARD_80_GB) for one in claims}
    assert sum(parts.values()) <= CARD_80_GB
    config = LlamaConfig(**LLAMA_3_8B)
    weights = 2 * 8_030_261_248
    answers = plan(
        config,
        torch.bfloat16,
        free_bytes=parts["llama3"] - weights - CONTEXT_BYTES,
        requests=64,
        context_tokens=2048,
        step_tokens=STEP_TOKENS["sdpa"],
    )
    assert answers is not None and answers.requests > 16, "many answers at once all the same"
    # As docs/gpu-sharing.md says.
    assert {name: round(size / GIB) for name, size in parts.items()} == {
        "minigpt-v2": 19,
        "qwen-audio": 32,
        "llama3": 28,
    }


def test_any_two_of_them_do_not_fit_on_24_gb(needs):
    sizes = sorted(one.least for one in needs.values())
    assert sizes[0] + sizes[1] > CARD_24_GB > sizes[-1]

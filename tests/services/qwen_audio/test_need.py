"""GPU memory of the engines that listen, told from shapes alone."""

from __future__ import annotations

import json

import pytest
import torch

from merrflow_qwen_audio import SPEC
from merrflow_qwen_audio.engines.audio_language.need import PROMPT_TOKENS
from merrflow_qwen_audio.engines.audio_language.prompt_file import load_prompt
from merrflow_serving.errors import NotReady
from merrflow_serving.torch import device as devices
from merrflow_serving.torch.estimate import GIB
from tests.services.cards import CARD_24_GB, CARD_80_GB
from tests.services.qwen_audio import qwen2_checkpoints
from tests.services.qwen_audio.test_qwen_checkpoint import PUBLISHED


@pytest.fixture
def on_gpu(monkeypatch):
    monkeypatch.setattr(devices, "device_of", lambda settings: torch.device("cuda", 0))
    monkeypatch.setattr(devices, "dtype_of", lambda settings, device: torch.bfloat16)


def engine(name: str, folder, content, **settings):
    (folder / "config.json").write_text(json.dumps(content))
    return SPEC.make_engine(SPEC.settings(engine=name, weights=str(folder), **settings))


def test_the_published_size_fits_a_24_gb_card_with_few_windows(on_gpu, tmp_path):
    need = engine("qwen_audio", tmp_path, PUBLISHED).need()
    assert 15.6 * GIB < need.least < CARD_24_GB < need.full < CARD_80_GB


def test_qwen2_audio_is_counted_from_its_own_config(on_gpu, tmp_path):
    small = engine("qwen2_audio", tmp_path, qwen2_checkpoints.config()).need()
    assert 0 < small.least < small.full < 2 * GIB


def test_a_longer_answer_needs_more(on_gpu, tmp_path):
    short = engine("qwen_audio", tmp_path, PUBLISHED, answer_tokens=10).need()
    long = engine("qwen_audio", tmp_path, PUBLISHED, answer_tokens=500).need()
    assert long.least > short.least and long.full > short.full


@pytest.mark.parametrize("name", ["tone_list", "emotion_keyword"])
def test_the_packaged_prompts_are_within_what_is_counted_for_them(name):
    prompt = load_prompt(name)
    assert len(f"{prompt.system}{prompt.question}".split()) * 2 + len(prompt.tags) < PROMPT_TOKENS


def test_without_weights_it_says_so(on_gpu, tmp_path):
    with pytest.raises(NotReady, match="comes with the weights"):
        SPEC.make_engine(SPEC.settings(engine="qwen_audio", weights=str(tmp_path))).need()


def test_on_a_cpu_it_needs_none_of_it():
    assert SPEC.make_engine(SPEC.settings(engine="qwen_audio", device="cpu")).need() is None

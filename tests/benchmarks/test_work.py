"""Limits: by hand for tiny shapes, by torch's own counter, and against published sizes."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.models.llama3 import Llama3
from benchmarks.models.minigpt_v2 import MiniGpt
from benchmarks.models.qwen_audio import Qwen
from benchmarks.models.setup import Setup
from benchmarks.models.shapes import shape
from benchmarks.models.work import Decoder, Work, bound, picture_encoder, sound_encoder
from benchmarks.support.card import Card
from merrflow_minigpt_v2.engines.minigpt_v2 import vision
from merrflow_minigpt_v2.engines.minigpt_v2.architecture import published
from merrflow_qwen_audio.engines.qwen_audio.config import Shape
from merrflow_qwen_audio.engines.qwen_audio.modules import without_data
from merrflow_serving.weights.checkpoint import parameters_on_meta

torch.set_num_threads(1)
CARD = Card("made up", 0, bandwidth=1000.0, peaks={"float32": 4000.0})
# One H100 by its data sheet.
H100 = Card("H100", 80 << 30, bandwidth=3.35e12, peaks={"bfloat16": 989e12, "float16": 989e12})


def setup(attention: str = "eager") -> Setup:
    return Setup(torch.device("cpu"), torch.float32, attention, "small", (1,), 4, 1, 0.0, 0, CARD)


def test_a_tiny_decoder_by_hand() -> None:
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=10,
            hidden_size=8,
            intermediate_size=12,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=False,
        )
    )
    found = Decoder.of(model)
    # q and o 8 x 8, k and v 8 x 4, three 8 x 12.
    assert found.layers == 2 * 64 + 2 * 32 + 3 * 96 == 480
    assert found.head == 80
    # Three norms of 8 and the 2 rotary frequencies, twice, are read too; the embedding is not.
    assert found.weight_bytes == 4 * (480 + 80 + 3 * 8 + 2 * 2)
    assert found.cache_bytes == 2 * 4 * 4
    assert found.pair_flops == 4 * 8
    # Two rows of 3 tokens: 6 pairs a row of a query with itself or one before it.
    assert found.prompts(2, 3) == Work(2 * (2 * 480 * 3 + 2 * 80 + 32 * 6), 2352 + 2 * 3 * 32, torch.float32)
    assert found.step(2, 5) == Work(2 * (2 * 560 + 32 * 5), 2352 + 2 * 5 * 32, torch.float32)
    assert found.steps(2, 3, 3) == [found.step(2, 4), found.step(2, 5)]
    assert found.steps(2, 3, 1) == []


def test_a_pass_takes_the_longer_of_reading_and_computing() -> None:
    reading, computing = Work(400.0, 2000.0, torch.float32), Work(12000.0, 500.0, torch.float32)
    assert bound([reading], CARD).seconds == 2.0
    assert bound([computing], CARD).seconds == 3.0
    both = bound([reading, computing], CARD)
    assert (both.seconds, both.by) == (5.0, "compute")
    assert bound([reading, reading, computing], CARD).by == "memory"


def test_operations_are_those_that_torch_counts() -> None:
    pictures = MiniGpt(setup())
    with FlopCounterMode(display=False) as counted:
        pictures.encode(pictures.prepared(pictures.items(3)))
    assert counted.get_total_flops() == pictures.encoder.batch(3).flops

    sounds = Qwen(setup())
    with FlopCounterMode(display=False) as counted:
        sounds.encode(sounds.items(2))
    filters = 2 * 80 * 201 * 3000  # of the spectrogram, which is no part of the tower
    assert counted.get_total_flops() == sounds.encoder.batch(2).flops + 2 * filters

    texts = Llama3(setup())
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        texts.model(input_ids=torch.tensor(texts.prompts(2, 0)), logits_to_keep=1)
    hidden_pairs = 48 * 47 // 2  # eager attention multiplies them, and masks them
    assert counted.get_total_flops() == texts.work.prompts(2, 48).flops + 2 * texts.work.pair_flops * hidden_pairs


def test_full_shapes_are_the_published_ones() -> None:
    with parameters_on_meta():
        reasoner = LlamaForCausalLM(LlamaConfig(**shape("llama3", "full")["model"])).to(torch.bfloat16)
        tower, projection = vision.build(published(), "sdpa").half(), torch.nn.Linear(4 * 1408, 4096)
    assert sum(one.numel() for one in reasoner.parameters()) == 8_030_261_248
    about = shape("minigpt-v2", "full")["vision"]
    eyes = published().vision
    assert about == {
        "size": published().image.size,
        "width": eyes.width,
        "layers": eyes.layers,
        "heads": eyes.heads,
        "mlp": eyes.mlp,
    }
    with parameters_on_meta():
        voice = LlamaForCausalLM(LlamaConfig(**shape("minigpt-v2", "full")["language"]))
    assert sum(one.numel() for one in voice.parameters()) == 6_738_415_616
    parts = without_data(Shape(**shape("qwen-audio", "full")["model"])).to(torch.bfloat16)
    assert round(sum(one.numel() for one in parts.parameters()) / 1e9, 2) == 8.40

    # At batch 1 an H100 reads Llama 3's weights 223 times a second; 64 rows of 512 tokens make some 11,000 tokens.
    work = Decoder.of(reasoner)
    assert 1 / bound([work.step(1, 1)], H100).seconds == pytest.approx(223, abs=0.5)
    assert 64 / bound([work.step(64, 512)], H100).seconds == pytest.approx(11_100, abs=50)
    # 2.26 and 2.27 TFLOP a picture of 448 pixels and a canvas of 30 s; 16 of them are bound by computing.
    for encoder in (
        picture_encoder(tower, projection, image_tokens=256),
        sound_encoder(parts.tower, parts.proj, tokens=125),
    ):
        assert encoder.item_flops == pytest.approx(2.27e12, rel=0.01)
        assert bound([encoder.batch(16)], H100).by == "compute"

"""What the engine needs at full size, told from its shapes: a 24 GB card must hold it at its default limits."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import LlamaConfig

from merrflow_minigpt_v2.engines.minigpt_v2 import language, vision
from merrflow_minigpt_v2.engines.minigpt_v2.architecture import published
from merrflow_minigpt_v2.engines.minigpt_v2.engine import GPU_ROWS
from merrflow_minigpt_v2.engines.minigpt_v2.prompts import load_prompt_config
from merrflow_minigpt_v2.settings import MiniGptSettings
from merrflow_serving.torch import estimate
from merrflow_serving.weights.checkpoint import parameters_on_meta
from tests.services.cards import CARD_24_GB, CARD_80_GB

SHAPE = published()
TEMPLATE_TOKENS = 32  # two starts and about 20 pieces in Llama 2's vocabulary
# The configuration that meta-llama/Llama-2-7b-chat-hf publishes.
LLAMA_2_7B = LlamaConfig(
    hidden_size=4096,
    intermediate_size=11008,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=32,
    max_position_embeddings=4096,
    rms_norm_eps=1e-5,
    vocab_size=32000,
)


@pytest.fixture(scope="module")
def parts():
    with parameters_on_meta():
        tower = vision.build(SHAPE, "sdpa")
        projection = nn.Linear(SHAPE.vision.width * SHAPE.projection.patches, LLAMA_2_7B.hidden_size)
        return tower, projection, language.build(LLAMA_2_7B, "sdpa")


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_parts_have_their_published_sizes(parts):
    tower, projection, llama = parts
    assert all(parameter.is_meta for part in parts for parameter in part.parameters())
    assert count(llama) == 6_738_415_616
    assert count(projection) == 5632 * 4096 + 4096
    # EVA ViT-g without its 40th block; the bias of the keys, zeros, is stored here and not in the file.
    block = 4 * 1408**2 + 2 * 1408 * 6144 + 6144 + (3 + 1 + 1 + 4) * 1408
    outside = 1408 * (3 * 14 * 14 + 1) + 1408 * (1 + 1025) + 2 * 1408
    assert count(tower) == 39 * block + outside
    assert len(vision.file_keys(39)) == 4 + 39 * 13
    assert SHAPE.image_tokens == 256


def test_every_weight_has_a_name_in_the_files(parts):
    tower, _, llama = parts
    named = {vision.module_key(key) for key in vision.file_keys(39) if not key.endswith("v_bias")}
    assert named | {"post_layernorm.weight", "post_layernorm.bias"} == set(tower.state_dict())
    assert set(language.lora_keys(LLAMA_2_7B, SHAPE.lora)) <= set(llama.state_dict())
    assert len(language.lora_keys(LLAMA_2_7B, SHAPE.lora)) == 64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("card", "rows"), [(CARD_24_GB, GPU_ROWS), (CARD_80_GB, 64)])
def test_a_card_holds_it_with_its_largest_batch(parts, dtype, card, rows):
    tower, projection, llama = parts
    settings = MiniGptSettings()
    weights = estimate.module_bytes(llama, dtype)
    weights += estimate.module_bytes(tower, vision.tower_dtype(dtype))
    weights += estimate.module_bytes(projection, torch.float32)
    assert weights / estimate.GIB == pytest.approx(14.5, abs=0.1)
    places = TEMPLATE_TOKENS + SHAPE.image_tokens + settings.max_instruction_tokens
    places += max(_answer_tokens(name) for name in ("merr_words", "merr_content"))
    cache = rows * places * estimate.kv_bytes_per_token(LLAMA_2_7B, dtype)
    assert estimate.kv_bytes_per_token(LLAMA_2_7B, dtype) == 512 << 10
    seeing = estimate.encoder_activation_bytes(
        rows=settings.encoder_batch, tokens=1 + SHAPE.patches, width=SHAPE.vision.width, inner=SHAPE.vision.mlp
    )
    speaking = estimate.decoder_activation_bytes(LLAMA_2_7B, dtype, rows=rows, tokens=places)
    plan = estimate.Plan(weights, cache, max(seeing, speaking))
    assert plan.total <= card, plan.total / estimate.GIB


def _answer_tokens(prompt: str) -> int:
    return load_prompt_config(prompt, "greedy", answer_tokens=0, seed=0, template=SHAPE.template).answer_tokens

"""What fits on a card, from shapes alone."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from merrflow_llama3.engines.batched import MAX_REQUESTS
from merrflow_llama3.engines.transformers.memory import PAGE, plan, working_bytes
from merrflow_serving.torch.estimate import CONTEXT_BYTES, kv_bytes_per_token, module_bytes
from tests.services.cards import CARD_24_GB, CARD_80_GB

LLAMA_3_8B = LlamaConfig(
    vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
    num_key_value_heads=8, max_position_embeddings=8192, rms_norm_eps=1e-5, tie_word_embeddings=False,
    rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
)  # fmt: skip
STEP = 1024


@pytest.fixture(scope="module")
def weights() -> int:
    with torch.device("meta"):
        model = LlamaForCausalLM(LLAMA_3_8B)
    assert sum(weight.numel() for weight in model.parameters()) == 8_030_261_248  # as Meta's model card counts
    return module_bytes(model, torch.bfloat16)


def fitting(card: int, weights: int, context: int, requests: int = MAX_REQUESTS):
    return plan(
        LLAMA_3_8B, torch.bfloat16, free_bytes=card - weights - CONTEXT_BYTES, requests=requests,
        context_tokens=context, step_tokens=STEP,
    )  # fmt: skip


def test_a_24_gb_card_holds_the_8b_and_40_answers_of_1024_tokens(weights):
    assert kv_bytes_per_token(LLAMA_3_8B, torch.bfloat16) == 128 * 1024
    assert weights == pytest.approx(16.06e9, rel=0.001)
    found = fitting(CARD_24_GB, weights, 1024)
    assert found is not None
    need = weights + CONTEXT_BYTES + found.tokens * kv_bytes_per_token(LLAMA_3_8B, torch.bfloat16)
    need += working_bytes(LLAMA_3_8B, torch.bfloat16, requests=found.requests, tokens=found.tokens, step_tokens=STEP)
    assert need < CARD_24_GB
    assert found.requests == 40


def test_an_80_gb_card_holds_the_largest_batch_at_full_context(weights):
    found = fitting(CARD_80_GB, weights, 2048)
    assert (found.requests, found.tokens) == (64, 64 * 2048)


def test_less_memory_means_fewer_answers_and_at_last_none(weights):
    counts = [
        found.requests if (found := fitting(int(gib * 2**30), weights, 2048)) else 0
        for gib in (15, 16.5, 18, 20, 24, 40)
    ]
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == MAX_REQUESTS


def test_an_answer_takes_whole_pages():
    found = plan(
        LLAMA_3_8B, torch.bfloat16, free_bytes=40 * 2**30, requests=3, context_tokens=1000, step_tokens=STEP, page=PAGE
    )
    assert found.tokens == 3 * 1024

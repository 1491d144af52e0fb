"""Memory computed from shapes: compared with what torch really takes for small models, and full sizes on `meta`."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from merrflow_serving.torch.estimate import (
    GIB,
    Plan,
    decoder_activation_bytes,
    encoder_activation_bytes,
    kv_bytes_per_token,
    module_bytes,
)
from merrflow_serving.weights import entry
from tests.services.cards import CARD_24_GB, CARD_80_GB

torch.set_num_threads(1)
LLAMA_3_8B = LlamaConfig(
    vocab_size=128256,
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    tie_word_embeddings=False,
)
LLAMA_2_7B = LlamaConfig()  # transformers' defaults are Llama-2-7B's shape
SMALL = LlamaConfig(
    vocab_size=512,
    hidden_size=64,
    intermediate_size=192,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    tie_word_embeddings=False,
)


def on_meta(config: LlamaConfig) -> LlamaForCausalLM:
    with torch.device("meta"):
        return LlamaForCausalLM(config)


def test_small_models_weigh_what_they_weigh() -> None:
    real = LlamaForCausalLM(SMALL)
    held = sum(tensor.untyped_storage().nbytes() for tensor in {*real.parameters(), *real.buffers()})
    assert module_bytes(on_meta(SMALL), torch.float32) == held
    half = module_bytes(on_meta(SMALL), torch.bfloat16)
    assert half < held
    parameters = sum(parameter.numel() for parameter in real.parameters())
    assert 2 * parameters <= half < 2 * parameters + 1000


def test_tied_tensors_count_once_and_integers_keep_their_width() -> None:
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Linear(10, 10, bias=False, device="meta")
            self.b = torch.nn.Linear(10, 10, bias=False, device="meta")
            self.b.weight = self.a.weight
            self.register_buffer("ids", torch.zeros(5, dtype=torch.int64, device="meta"))

    assert module_bytes(Tied(), torch.float16) == 200 + 40
    assert module_bytes(Tied(), lambda name: torch.float32 if name == "a.weight" else torch.float16) == 400 + 40


def test_full_size_models_weigh_what_their_files_do() -> None:
    """The shards of the published checkpoints hold these tensors and headers of a few kB."""
    for name, config in (("llama-3-8b-instruct", LLAMA_3_8B), ("llama-2-7b-chat", LLAMA_2_7B)):
        shards = sum(file.size for file in entry(name).files if file.name.endswith(".safetensors"))
        assert abs(module_bytes(on_meta(config), torch.bfloat16) - shards) < 60_000, name


def test_cache_of_a_token() -> None:
    assert kv_bytes_per_token(LLAMA_3_8B, torch.bfloat16) == 128 * 1024  # the figure of the model card's shapes
    assert kv_bytes_per_token(LLAMA_2_7B, torch.bfloat16) == 512 * 1024
    model = LlamaForCausalLM(SMALL)
    cache = model(torch.zeros(2, 7, dtype=torch.long), use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert held == 2 * 7 * kv_bytes_per_token(SMALL, torch.float32)


@pytest.mark.parametrize(("rows", "tokens", "logits"), [(1, 64, 1), (4, 64, 1), (2, 128, 128), (8, 1, 1)])
def test_activations_are_an_upper_estimate_and_not_a_wild_one(rows: int, tokens: int, logits: int) -> None:
    """Against the peak of tensors that a real forward pass holds, measured by torch's own allocator events."""
    model = LlamaForCausalLM(SMALL).eval()
    ids = torch.zeros(rows, tokens, dtype=torch.long)

    def run() -> None:
        out = model(ids, use_cache=False, logits_to_keep=logits).logits
        torch.log_softmax(out.float(), dim=-1)

    with torch.inference_mode():
        run()  # what is made once is made
        with torch.profiler.profile(profile_memory=True) as profile:
            run()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    estimate = decoder_activation_bytes(SMALL, torch.float32, rows=rows, tokens=tokens, logits=logits)
    assert peak > 0
    assert peak <= estimate * 1.15 + 65536
    assert estimate <= 4 * peak + 65536


def test_encoders_grow_as_they_must() -> None:
    one = encoder_activation_bytes(rows=1, tokens=1025, width=1408, inner=6144)
    assert encoder_activation_bytes(rows=8, tokens=1025, width=1408, inner=6144) == 8 * one
    assert one < 100 << 20


def test_a_24_gb_card_holds_llama_3_with_requests_in_flight() -> None:
    weights = module_bytes(on_meta(LLAMA_3_8B), torch.bfloat16)
    per_token = kv_bytes_per_token(LLAMA_3_8B, torch.bfloat16)
    activations = decoder_activation_bytes(LLAMA_3_8B, torch.bfloat16, rows=1, tokens=2048, logits=64)
    request = 1024 * per_token
    assert Plan(weights, 36 * request, activations).total <= CARD_24_GB < Plan(weights, 49 * request, activations).total
    assert Plan(weights).total > 8 * GIB


def test_an_80_gb_card_holds_three_models_at_once() -> None:
    """Weights of about 48 GB (Llama 3, MiniGPT-v2's Llama 2 and ViT, Qwen-Audio), a context for each process."""
    plans = [
        Plan(module_bytes(on_meta(LLAMA_3_8B), torch.bfloat16), cache=64 * 1024 * 128 * 1024),
        Plan(module_bytes(on_meta(LLAMA_2_7B), torch.bfloat16) + 2_030_000_000, cache=8 * 512 * 512 * 1024),
        Plan(16_800_000_000, cache=8 * 1024 * 512 * 1024),
    ]
    assert all(plan.total > 12 * GIB for plan in plans)
    assert sum(plan.total for plan in plans) <= CARD_80_GB

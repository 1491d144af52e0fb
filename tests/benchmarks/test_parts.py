"""Random weights, clocks and the card: what the figures rest on."""

from __future__ import annotations

import time

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.models.llama3 import Llama3
from benchmarks.models.random_weights import randomised
from benchmarks.models.rows import Row
from benchmarks.models.setup import Setup
from benchmarks.models.shapes import shape
from benchmarks.models.timing import attempt, split_note, timed
from benchmarks.support.card import copy_rate, measure_card, product_rate
from merrflow_serving.errors import TooLarge
from merrflow_serving.weights.checkpoint import parameters_on_meta

torch.set_num_threads(1)
CPU = torch.device("cpu")


def model(seed: int, dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    with parameters_on_meta():
        built = LlamaForCausalLM(LlamaConfig(**shape("llama3", "small")["model"]))
    return randomised(built, dtype=dtype, device=CPU, seed=seed)


def test_weights_come_from_the_seed_in_the_engines_format() -> None:
    first, again, other = (model(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    half = model(1, torch.bfloat16)
    assert {tensor.dtype for tensor in half.parameters()} == {torch.bfloat16}
    matrix, norm = first["model.layers.0.mlp.down_proj.weight"], first["model.norm.weight"]
    assert matrix.std().item() == pytest.approx(160**-0.5, rel=0.05)
    assert norm.mean().item() == pytest.approx(1.0, abs=0.02)
    assert norm.std().item() > 0.005


def test_no_two_rounds_have_a_prompt_in_common() -> None:
    setup = Setup(
        CPU, torch.float32, "sdpa", "small", (1,), 4, 1, 0.0, 0, measure_card(CPU, [torch.float32], small=True)
    )
    prompts = Llama3(setup).prompts
    rounds = [*prompts(3, -1), *prompts(3, 0), *prompts(3, 1)]
    assert len(set(rounds)) == 9
    assert len({prompt[:16] for prompt in rounds}) == 9
    assert prompts(2, 0) == prompts(3, 0)[:2]


def test_rounds_go_on_until_the_time_is_over_and_the_first_is_not_timed() -> None:
    seen: list[int] = []

    def run(number: int) -> int:
        seen.append(number)
        time.sleep(0.2 if number < 0 else 0.02)
        return number

    found = timed(run, seconds=0.09, device=CPU)
    assert seen == [-1, *range(found.rounds)]
    assert 2 <= found.rounds <= 5
    assert 0.02 <= found.seconds < 0.1
    assert found.first == 0
    assert timed(run, seconds=0.0, device=CPU).rounds == 1


def test_what_memory_does_not_hold_becomes_rows() -> None:
    blanks = [Row("a", "b", 64, "images")]

    def fails(error: Exception) -> list[Row]:
        raise error

    (row,) = attempt(lambda: fails(torch.OutOfMemoryError("CUDA out of memory")), blanks)
    assert row.note == "out of memory"
    assert row.ratio is row.share is None
    (row,) = attempt(lambda: fails(TooLarge("not one fits")), blanks)
    assert row.note == "out of memory: not one fits"
    with pytest.raises(ValueError, match="else"):
        attempt(lambda: fails(ValueError("else")), blanks)
    assert split_note(64, 64) == ""
    assert split_note(64, 32) == "out of memory at 64: 32 at once"


def test_the_card_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that ticks half a second at each look."""
    ticks = iter(range(10_000))
    monkeypatch.setattr("benchmarks.support.card.time.perf_counter", lambda: next(ticks) / 2)
    assert copy_rate(CPU, 1000) == 4000.0  # read and written, in half a second
    assert product_rate(CPU, torch.float32, 10) == 4000.0
    card = measure_card(CPU, [torch.float32, torch.float64], small=True)
    assert set(card.peaks) == {"float32", "float64"}
    assert card.peak(torch.float32) == card.peaks["float32"] == 4 * 512**3
    assert card.bandwidth == 4 * (1 << 26)

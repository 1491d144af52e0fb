"""Tokens drawn by a seed of their own."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow_llama3.engines.transformers.draw import choose, draw_number
from merrflow_llama3.prompt import Sampling

SCALE = 1 << 31


def sampling(**given: float) -> Sampling:
    values = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, **given}
    return Sampling(**values)


def spread(scores: torch.Tensor, how: Sampling, draws: int = 2048) -> torch.Tensor:
    """How often each token comes, over draws spread evenly."""
    evenly = (torch.arange(draws, dtype=torch.int64) * SCALE // draws + SCALE // draws // 2).to(torch.int32)
    chosen = choose(scores.expand(draws, -1), evenly, how)
    return torch.bincount(chosen, minlength=scores.shape[-1]) / draws


def kept_by_hand(scores: torch.Tensor, how: Sampling) -> dict[int, float]:
    """Token -> share, by sorting, in plain Python."""
    tempered = [score / how.temperature for score in scores.tolist()]
    order = sorted(range(len(tempered)), key=lambda token: -tempered[token])
    if how.top_k:
        order = [token for token in order if tempered[token] >= tempered[order[min(how.top_k, len(order)) - 1]]]
    total = sum(math.exp(tempered[token]) for token in order)
    shares = {token: math.exp(tempered[token]) / total for token in order}
    kept, held = {}, 0.0
    for token in order:
        if held >= how.top_p:
            break
        kept[token] = shares[token]
        held += shares[token]
    most = max(kept.values())
    kept = {token: share for token, share in kept.items() if share >= most * how.min_p}
    return {token: share / sum(kept.values()) for token, share in kept.items()}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(-40, 40), min_size=2, max_size=12, unique=True),
    st.floats(0.3, 2.0),
    st.sampled_from([1.0, 0.9, 0.5, 0.05]),
    st.sampled_from([0, 1, 3]),
    st.sampled_from([0.0, 0.1]),
)
def test_shares_are_those_of_a_plain_computation(tenths, temperature, top_p, top_k, min_p):
    scores = torch.tensor(tenths, dtype=torch.float32) / 10
    how = sampling(temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p)
    expected = kept_by_hand(scores, how)
    found = spread(scores, how)
    edge = [share for share in expected.values() if share < 1e-6]
    for token in range(len(tenths)):
        if not edge:
            assert found[token].item() == pytest.approx(expected.get(token, 0.0), abs=2e-3)


def test_equal_tokens_stay_or_go_together():
    found = spread(torch.tensor([2.0, 1.0, 1.0, 1.0, -3.0]), sampling(top_p=0.6))
    assert found[1] == pytest.approx(found[2].item(), abs=1e-3) and found[3] > 0 and found[4] == 0


def test_a_draw_does_not_hang_on_the_rows_beside_it():
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(6, 5000, generator=generator) * 3
    draws = torch.randint(0, SCALE, (6,), generator=generator, dtype=torch.int64).to(torch.int32)
    how = sampling(temperature=0.6, top_p=0.9)
    together = choose(scores, draws, how)
    assert together.tolist() == [choose(scores[row : row + 1], draws[row : row + 1], how).item() for row in range(6)]
    assert len(set(together.tolist())) > 3


def test_rounding_of_the_scores_tips_no_draw_but_those_at_an_edge():
    generator = torch.Generator().manual_seed(5)
    scores = torch.randn(200, 2000, generator=generator) * 4
    draws = torch.randint(0, SCALE, (200,), generator=generator, dtype=torch.int64).to(torch.int32)
    how = sampling(temperature=0.6, top_p=0.9)
    moved = choose(scores + torch.randn(scores.shape, generator=generator) * 1e-6, draws, how)
    assert (moved == choose(scores, draws, how)).float().mean() >= 0.995


def test_a_negative_draw_takes_the_likeliest():
    scores = torch.tensor([[0.0, 3.0, 2.9], [5.0, 4.9, 4.8]])
    assert choose(scores, torch.tensor([-1, -1], dtype=torch.int32), sampling()).tolist() == [1, 0]


def test_the_ends_of_the_range_draw_real_tokens():
    scores = torch.tensor([[-50.0, 1.0, 0.5, -60.0]]).expand(2, -1)
    found = choose(scores, torch.tensor([0, SCALE - 1], dtype=torch.int32), sampling())
    assert found.tolist() == [1, 2]


def test_numbers_are_even_and_differ_by_seed_and_place():
    numbers = [draw_number(seed, place) for seed in range(50) for place in range(40)]
    assert len(set(numbers)) == 2000 and all(0 <= number < SCALE for number in numbers)
    tenths = [0] * 10
    for number in numbers:
        tenths[number * 10 // SCALE] += 1
    assert all(150 < count < 250 for count in tenths)
    assert draw_number(1, 23) != draw_number(12, 3)

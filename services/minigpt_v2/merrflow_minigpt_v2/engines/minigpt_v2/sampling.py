"""Sampling in which an answer depends on its own question alone, not on its neighbours in the batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import cast

import torch
from transformers import LogitsProcessor

from merrflow_minigpt_v2.engines.minigpt_v2.prompts import Decoding


class SeededNucleus(LogitsProcessor):
    """Nucleus sampling (Holtzman et al. 2020) with one stream of random numbers for each row.

    It masks all tokens but the drawn one, which `generate` then chooses greedily. torch's own sampling draws for the
    whole batch from one stream, so a neighbour would change a row's answer.
    """

    def __init__(self, seeds: Sequence[int], decoding: Decoding) -> None:
        self._streams = [random.Random(seed) for seed in seeds]
        self._temperature = decoding.temperature
        self._top_k = decoding.top_k
        self._top_p = decoding.top_p

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """scores: (rows, vocabulary). Returns them with all but the drawn token at minus infinity."""
        shares, order = torch.softmax(scores.float() / self._temperature, dim=-1).sort(descending=True, stable=True)
        if self._top_k:
            shares[:, self._top_k :] = 0.0
            shares /= shares.sum(-1, keepdim=True)
        reached = shares.cumsum(-1)
        # The nucleus: the fewest likeliest tokens whose shares reach top_p; the first is always in it.
        inside = (reached - shares) < self._top_p
        mass = (shares * inside).sum(-1)
        draws = torch.tensor([stream.random() for stream in self._streams], device=scores.device, dtype=mass.dtype)
        place = torch.searchsorted(reached, (draws * mass).unsqueeze(-1), right=True)
        place = torch.minimum(place, inside.sum(-1, keepdim=True) - 1)
        chosen = order.gather(-1, place)
        masked = torch.full_like(scores, float("-inf")).scatter(-1, chosen, scores.gather(-1, chosen))
        return cast("torch.FloatTensor", masked)

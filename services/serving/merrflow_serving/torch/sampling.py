"""Sampling in which an answer depends on its own question alone, not on its neighbours in the batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import cast

import torch
from transformers import LogitsProcessor, LogitsProcessorList, RepetitionPenaltyLogitsProcessor

from merrflow_serving.torch.decoding import Decoding


def choosing(
    decoding: Decoding, seeds: Sequence[int], prompts: Sequence[Sequence[int]] | None = None
) -> LogitsProcessorList:
    """For `generate` with `do_sample=False`: what leaves each row only the token that `decoding` chooses.

    seeds: one for each row. prompts: the ids of each row's prompt, if the penalty on repetitions counts them too:
    `generate` knows of none where it is given embeddings.
    """
    processors = LogitsProcessorList()
    if decoding.repetition_penalty != 1:
        processors.append(_Penalty(decoding.repetition_penalty, prompts or [()] * len(seeds)))
    if decoding.temperature > 0:
        processors.append(SeededNucleus(seeds, decoding))
    return processors


class _Penalty(LogitsProcessor):
    """On tokens of the prompt and of the answer so far (Keskar et al. 2019)."""

    def __init__(self, penalty: float, prompts: Sequence[Sequence[int]]) -> None:
        self._penalty = RepetitionPenaltyLogitsProcessor(penalty)
        longest = max(map(len, prompts))
        # Filled up with a token of the same row, on which the penalty is the same however often it is there.
        self._prompts = [[*ids, *[ids[0]] * (longest - len(ids))] if longest else [] for ids in prompts]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        before = torch.tensor(self._prompts, dtype=torch.long, device=input_ids.device)
        known = cast("torch.LongTensor", torch.cat([before, input_ids], dim=1))
        return cast("torch.FloatTensor", self._penalty(known, scores))


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

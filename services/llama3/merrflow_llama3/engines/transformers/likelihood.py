"""Likelihoods of many answers to many prompts, in one pass over the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from merrflow_llama3.engines.language_model import Question

_ROWS = 256  # of logits at a time: a vocabulary of 128,256 in float32 is 0.5 MB a row


@torch.inference_mode()
def likelihoods(model: Any, questions: Sequence[Question]) -> list[tuple[float, ...]]:
    """For each question the natural log-likelihood of each answer.

    A question is one row: its prompt once, then its answers one after the other. The mask lets an answer see the
    prompt and itself, and its positions continue the prompt's, so each is computed as if it were alone.
    model: a causal language model whose attention takes a 4-D mask (sdpa, eager).
    """
    device = model.device
    longest = max(len(question.tokens) + sum(map(len, question.answers)) for question in questions)
    ids = torch.zeros(len(questions), longest, dtype=torch.int64)
    positions = torch.zeros(len(questions), longest, dtype=torch.int64)
    # Padding sees itself: a row of a softmax must not be empty.
    seen = torch.eye(longest, dtype=torch.bool).repeat(len(questions), 1, 1)
    asked: list[tuple[int, int, int]] = []  # row, place that predicts, token predicted
    for row, question in enumerate(questions):
        prompt = len(question.tokens)
        ids[row, :prompt] = torch.tensor(question.tokens)
        positions[row, :prompt] = torch.arange(prompt)
        seen[row, :prompt, :prompt] = torch.ones(prompt, prompt, dtype=torch.bool).tril()
        start = prompt
        for answer in question.answers:
            end = start + len(answer)
            ids[row, start:end] = torch.tensor(answer)
            positions[row, start:end] = torch.arange(prompt, prompt + len(answer))
            seen[row, start:end, :prompt] = True
            seen[row, start:end, start:end] = torch.ones(len(answer), len(answer), dtype=torch.bool).tril()
            places = [prompt - 1, *range(start, end - 1)]
            asked += [(row, place, token) for place, token in zip(places, answer, strict=True)]
            start = end
    hidden = model.get_decoder()(
        input_ids=ids.to(device),
        attention_mask=_mask(model, seen[:, None].to(device)),
        position_ids=positions.to(device),
        use_cache=False,
    ).last_hidden_state
    found = iter(_log_likelihoods(model.get_output_embeddings(), hidden, asked))
    return [tuple(math.fsum(next(found) for _ in answer) for answer in question.answers) for question in questions]


def _mask(model: Any, seen: torch.Tensor) -> torch.Tensor:
    """`seen` as the attention in use takes it: eager attention adds its mask to the scores, True as 1."""
    if not model.config._attn_implementation.endswith("eager"):
        return seen
    return torch.zeros(seen.shape, dtype=model.dtype, device=seen.device).masked_fill(
        ~seen, torch.finfo(model.dtype).min
    )


def _log_likelihoods(head: torch.nn.Module, hidden: torch.Tensor, asked: list[tuple[int, int, int]]) -> list[float]:
    rows, places, tokens = (torch.tensor(column, device=hidden.device) for column in zip(*asked, strict=True))
    found = []
    for start in range(0, len(asked), _ROWS):
        part = slice(start, start + _ROWS)
        logits = head(hidden[rows[part], places[part]]).float()
        found.append(logits.log_softmax(-1).gather(-1, tokens[part, None]).squeeze(-1))
    return torch.cat(found).tolist()

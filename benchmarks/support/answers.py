"""Answers of a causal language model: by plain `generate` one by one, and by the llama3 service's engine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch

from merrflow_llama3.engines.language_model import Ask, Drawn, Tokens
from merrflow_llama3.engines.transformers.batching import BatchingModel


@torch.inference_mode()
def generated(model: Any, stops: Collection[int], most: int, **inputs: torch.Tensor) -> Tokens:
    """The likeliest tokens by transformers' plain `generate`, without the stop.

    inputs: `input_ids` (1, tokens) or `inputs_embeds` (1, tokens, width).
    """
    given = next(iter(inputs.values()))
    written = model.generate(
        **inputs, attention_mask=torch.ones(given.shape[:2], dtype=torch.long, device=given.device), do_sample=False,
        temperature=None, top_p=None, max_new_tokens=most, eos_token_id=sorted(stops), pad_token_id=min(stops),
    )[0].tolist()  # fmt: skip
    if "input_ids" in inputs:
        written = written[given.shape[1] :]
    return tuple(written[:-1] if written and written[-1] in stops else written)


def answer_alone(model: Any, stops: Collection[int], tokens: Tokens, most: int) -> Tokens:
    """The answer to one prompt of token ids."""
    return generated(model, stops, most, input_ids=torch.tensor([tokens], device=model.device))


def answer_together(batching: BatchingModel, prompts: Sequence[Tokens], most: int) -> list[Tokens]:
    """The answers to all prompts, in order, by the engine."""
    answers: dict[int, Tokens] = {}

    def finished(place: int, drawn: Drawn | Exception) -> None:
        if isinstance(drawn, Exception):
            raise drawn
        answers[place] = drawn.tokens

    batching.generate([Ask(tokens, 0, most) for tokens in prompts], finished)
    return [answers[place] for place in range(len(prompts))]


def same(alone: Sequence[Tokens], together: Sequence[Tokens]) -> int:
    """How many of the answers one by one came out the same together."""
    return sum(a == b for a, b in zip(alone, together, strict=False))

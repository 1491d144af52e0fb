"""Greedy decoding of prompts that hold sound: rows of embeddings of different lengths in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from merrflow_serving.torch.padding import left_padded

if TYPE_CHECKING:
    from transformers import GenerationMixin


@dataclass(frozen=True)
class Answer:
    """What a model wrote, as token ids without the one that ends it."""

    ids: tuple[int, ...]
    truncated: bool  # cut by the limit, before the model ended it


@torch.inference_mode()
def decode(
    language: GenerationMixin,
    rows: Sequence[torch.Tensor],
    *,
    stop: Sequence[int],
    answer_tokens: int,
    least_tokens: int = 0,
) -> list[Answer]:
    """The most likely next token, again and again, for all rows at once; each row ends at a token of `stop`.

    rows: prompts [(tokens, width)]. Positions count from each row's own start, so padding does not shift them.
    `least_tokens` holds back the end; for warming up.
    """
    from transformers import GenerationConfig

    embeddings, mask = left_padded(rows)
    written = language.generate(
        inputs_embeds=embeddings,
        attention_mask=mask,
        generation_config=GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=answer_tokens,
            min_new_tokens=least_tokens or None,
            eos_token_id=list(stop),
            pad_token_id=stop[0],
            use_cache=True,
        ),
    )
    return [_answer(row, stop) for row in written.tolist()]


def _answer(ids: Sequence[int], stop: Sequence[int]) -> Answer:
    """Up to the first token that ends the answer; what follows it is padding."""
    end = next((place for place, token in enumerate(ids) if token in stop), None)
    return Answer(tuple(ids[:end]), end is None)

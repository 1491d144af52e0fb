"""How much of a device the key-value cache takes, and how many answers fit next to the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from merrflow_serving.torch.estimate import decoder_activation_bytes, kv_bytes_per_token

if TYPE_CHECKING:
    import torch

PAGE = 32  # tokens in a page of the cache: prompts share their beginning in whole pages
FLASH_PAGE = 256  # what flash-attn's paged kernel takes
_LOGIT_BYTES = 40  # a logit while a token is drawn: half and float32, softmax, shares, sums and temporary copies
_SPARE = 0.95  # of the memory: allocators round up


@dataclass(frozen=True)
class CachePlan:
    """The size of the cache."""

    requests: int  # answers at once
    tokens: int  # of all answers together
    step_tokens: int  # computed in one step, prompts included


def working_bytes(config: Any, dtype: torch.dtype, *, requests: int, tokens: int, step_tokens: int) -> int:
    """Bytes a step takes besides weights and cache; an upper estimate. `config`: of a Llama-family model.

    Logits of all answers while they are drawn from; one layer's keys and values of all answers, gathered and padded;
    the mask that transformers keeps; and the activations of a step's tokens.
    """
    logits = requests * config.vocab_size * _LOGIT_BYTES
    gathered = 3 * tokens * kv_bytes_per_token(config, dtype) // config.num_hidden_layers
    mask = step_tokens * (tokens + step_tokens) * dtype.itemsize
    activations = decoder_activation_bytes(config, dtype, rows=1, tokens=step_tokens, logits=0)
    total: int = logits + gathered + mask + activations
    return total


def plan(
    config: Any,
    dtype: torch.dtype,
    *,
    free_bytes: int,
    requests: int,
    context_tokens: int,
    step_tokens: int,
    page: int = PAGE,
) -> CachePlan | None:
    """The most answers, up to `requests`, of `context_tokens` each that fit into `free_bytes`; None if not one does.

    The cache hands out pages as answers grow, so answers shorter than the context leave room unused.
    """
    for count in range(requests, 0, -1):
        need = room(config, dtype, requests=count, context_tokens=context_tokens, step_tokens=step_tokens, page=page)
        if need <= free_bytes:
            return CachePlan(count, count * _whole_pages(context_tokens, page), step_tokens)
    return None


def room(
    config: Any, dtype: torch.dtype, *, requests: int, context_tokens: int, step_tokens: int, page: int = PAGE
) -> int:
    """Bytes that must be free besides the weights for `requests` answers at once."""
    tokens = requests * _whole_pages(context_tokens, page)
    need = (tokens + 2 * page) * kv_bytes_per_token(config, dtype)  # two pages are for padding
    need += working_bytes(config, dtype, requests=requests, tokens=tokens, step_tokens=step_tokens)
    return math.ceil(need / _SPARE)


def _whole_pages(tokens: int, page: int) -> int:
    return -(-tokens // page) * page

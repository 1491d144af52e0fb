"""Attention over a batch of answers of different lengths, for machines without flash-attn.

transformers' continuous batching lays all answers of a step end to end. Its own SDPA path multiplies every query with
the keys of all answers and masks those of others, so the work grows with the square of the batch. Here each answer
is multiplied with its own keys only: in a decoding step keys are padded to the longest answer and computed as one
batch; in a step with prompts in it, one prompt after the other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NAME = "merrflow_packed"


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    cache: Any = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """An attention function for transformers; without a paged cache it is plain SDPA.

    query: 1 x heads x tokens x width. key, value: 1 x kv heads x tokens x width, those of this step alone.
    Returns 1 x tokens x heads x width.
    """
    if cache is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    key, value = cache.update(key_states=key, value_states=value, layer_idx=module.layer_idx, kwargs=kwargs)
    starts_q, starts_k = kwargs["cu_seq_lens_q"], kwargs["cu_seq_lens_k"]
    if kwargs["max_length_q"] == 1 and starts_q.numel() - 1 == query.shape[2]:
        return _decode(query, key, value, starts_k, kwargs["max_length_k"], scaling), None
    return _prefill(query, key, value, starts_q, starts_k, scaling), None


def _decode(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts: torch.Tensor,
    longest: int,
    scaling: float | None,
) -> torch.Tensor:
    """One new token for each answer."""
    heads, answers, width = query.shape[1:]
    kv_heads = key.shape[1]
    place = torch.arange(longest, device=key.device)
    lengths = starts.diff()
    inside = place < lengths[:, None]  # answers x longest
    index = (starts[:-1, None] + place).clamp_max(key.shape[2] - 1).flatten()

    def padded(states: torch.Tensor) -> torch.Tensor:
        return states[0].index_select(1, index).view(kv_heads, answers, longest, width).transpose(0, 1)

    # The query heads of one key head become its rows, so that keys need not be repeated.
    grouped = query[0].transpose(0, 1).reshape(answers, kv_heads, heads // kv_heads, width)
    mixed = scaled_dot_product_attention(
        grouped, padded(key), padded(value), attn_mask=inside[:, None, None, :], scale=scaling
    )
    return mixed.reshape(1, answers, heads, width)


def _prefill(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts_q: torch.Tensor,
    starts_k: torch.Tensor,
    scaling: float | None,
) -> torch.Tensor:
    """Whole prompts or parts of them, with or without the next tokens of other answers."""
    groups = query.shape[1] // key.shape[1]
    mixed = torch.empty_like(query)
    bounds = torch.stack((starts_q, starts_k)).tolist()
    for from_q, to_q, from_k, to_k in zip(bounds[0], bounds[0][1:], bounds[1], bounds[1][1:], strict=False):
        if to_q == from_q:  # padding
            continue
        own_key, own_value = key[:, :, from_k:to_k], value[:, :, from_k:to_k]
        if groups > 1:
            own_key, own_value = own_key.repeat_interleave(groups, 1), own_value.repeat_interleave(groups, 1)
        # The last query sees all keys, the one before it all but the last ...
        seen = torch.ones(to_q - from_q, to_k - from_k, dtype=torch.bool, device=query.device)
        seen = seen.tril((to_k - from_k) - (to_q - from_q))
        mixed[:, :, from_q:to_q] = scaled_dot_product_attention(
            query[:, :, from_q:to_q], own_key, own_value, attn_mask=seen, scale=scaling
        )
    return mixed.transpose(1, 2)


def register() -> None:
    """Makes the function available to transformers under its name."""
    AttentionInterface.register(NAME, packed_attention)

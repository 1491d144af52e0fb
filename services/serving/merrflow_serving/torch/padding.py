"""Prompts of different lengths, as embeddings, in one batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def left_padded(rows: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts [(tokens, width)] as (rows, longest, width), and a mask (rows, longest): 0 for padding.

    The padding is on the left, so that every row's next token has the same position.
    """
    longest = max(len(row) for row in rows)
    embeddings = rows[0].new_zeros(len(rows), longest, rows[0].shape[1])
    mask = torch.zeros(len(rows), longest, dtype=torch.long, device=rows[0].device)
    for number, row in enumerate(rows):
        embeddings[number, longest - len(row) :] = row
        mask[number, longest - len(row) :] = 1
    return embeddings, mask

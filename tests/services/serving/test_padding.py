"""Rows of different lengths in one batch."""

from __future__ import annotations

import torch

from merrflow_serving.torch.padding import left_padded


def test_padding_is_on_the_left_and_masked() -> None:
    rows = [torch.arange(1.0, 1 + 2 * length).reshape(length, 2).to(torch.bfloat16) for length in (3, 1, 2)]
    embeddings, mask = left_padded(rows)
    assert embeddings.shape == (3, 3, 2) and embeddings.dtype == torch.bfloat16
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 1]] and mask.dtype == torch.long
    for row, padded, seen in zip(rows, embeddings, mask.bool(), strict=True):
        assert torch.equal(padded[seen], row) and not padded[~seen].any()

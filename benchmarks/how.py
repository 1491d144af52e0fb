"""What a run of `benchmarks.gpu` was asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks.card import Card
from benchmarks.shapes import Size


@dataclass(frozen=True)
class How:
    """The same for all models of a run."""

    device: torch.device
    dtype: torch.dtype  # of language models
    attention: str  # as transformers calls it
    size: Size
    batches: tuple[int, ...]
    tokens: int  # of every answer: exactly as many, 2 or more
    alone: int  # how many of a batch are done one by one for comparison
    seconds: float  # least time spent on a figure
    seed: int
    card: Card


def no_stop(vocabulary: int) -> int:
    """A token that ends answers and that no model can write: the first behind its vocabulary.

    Random weights write until they are stopped, or stop by chance. With this no answer ends before its last token,
    while the engines' code runs as it always does.
    """
    return vocabulary

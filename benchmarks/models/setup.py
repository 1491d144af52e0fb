"""What a run of `benchmarks.gpu` measures, and on what."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks.models.shapes import Size
from benchmarks.support.card import Card


@dataclass(frozen=True)
class Setup:
    """The same for all models of a run."""

    device: torch.device
    dtype: torch.dtype  # of language models
    attention: str  # as transformers calls it
    size: Size
    batches: tuple[int, ...]
    tokens: int  # of every answer, exactly; 2 or more
    alone: int  # how many of a batch are done one by one for comparison
    seconds: float  # least time spent on a figure
    seed: int
    card: Card


def no_stop(vocabulary: int) -> int:
    """A token that ends answers and that no model can write: the first after its vocabulary.

    Random weights write until they are stopped, or stop by chance. With this token no answer ends early, and the
    engines' code runs as usual.
    """
    return vocabulary

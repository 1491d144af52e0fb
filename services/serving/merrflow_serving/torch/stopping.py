"""Ends rows of transformers' `generate` for which nobody waits any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch


class UntilUnwanted:
    """A stopping criterion: asks after each token, and ends a row without changing the others' tokens."""

    def __init__(self, wanted: Sequence[Callable[[], bool]]) -> None:
        """wanted: of each row, whether anybody still waits for it."""
        self._wanted = wanted

    def __call__(self, input_ids: torch.Tensor, scores: Any, **given: Any) -> torch.Tensor:
        """(rows,) True where a row is to end."""
        return torch.tensor([not is_wanted() for is_wanted in self._wanted], device=input_ids.device)

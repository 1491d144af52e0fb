"""The way through the batch sizes of a model, the same for all models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from benchmarks.rows import Row
from benchmarks.timing import attempt


class Measured(Protocol):
    """A built model."""

    def rows(self, batch: int) -> list[Row]:
        """What was measured at a batch size. Raises `TooLarge` or torch's own error where memory does not suffice."""


def each_batch(
    name: str, parts: Sequence[tuple[str, str]], build: Callable[[], Measured], batches: Sequence[int]
) -> Iterator[list[Row]]:
    """Builds the model and gives rows as they are ready; rows that say so where memory does not suffice.

    parts: each with what it counts, as the model's `rows` gives them.
    """
    built: list[Measured] = []

    def _build() -> list[Row]:
        built.append(build())
        return []

    failed = attempt(_build, [Row(name, "weights", 0, "")])
    if failed:
        yield failed
        return
    for batch in batches:
        blanks = [Row(name, part, batch, unit) for part, unit in parts]
        yield attempt(lambda batch=batch: built[0].rows(batch), blanks)

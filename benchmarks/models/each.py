"""Measures a model at each batch size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from benchmarks.models.rows import Row
from benchmarks.models.timing import attempt


class Measured(Protocol):
    """A built model."""

    def rows(self, batch: int) -> list[Row]:
        """The figures at a batch size. Raises `TooLarge` or torch's own error if the memory is too small."""


def each_batch(
    name: str, parts: Sequence[tuple[str, str]], build: Callable[[], Measured], batches: Sequence[int]
) -> Iterator[list[Row]]:
    """Builds the model and yields rows as they are ready; if the memory is too small, rows that say so.

    parts: each with its unit, in the order of the model's `rows`.
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

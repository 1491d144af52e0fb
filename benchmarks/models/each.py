"""Measures a model at each batch size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from benchmarks.models.rows import Row
from benchmarks.models.setup import Setup
from benchmarks.models.timing import attempt


class Measured(Protocol):
    """A built model."""

    name: str
    parts: tuple[tuple[str, str], ...]  # each with its unit, in the order of `rows`

    def __init__(self, setup: Setup) -> None: ...

    def rows(self, batch: int) -> list[Row]:
        """The figures at a batch size. Raises `TooLarge` or torch's own error if the memory is too small."""


def each_batch(kind: type[Measured], setup: Setup) -> Iterator[list[Row]]:
    """Builds the model and yields rows as they are ready; if the memory is too small, rows that say so."""
    built: list[Measured] = []

    def build() -> list[Row]:
        built.append(kind(setup))
        return []

    failed = attempt(build, [Row(kind.name, "weights", 0, "")])
    if failed:
        yield failed
        return
    for batch in setup.batches:
        blanks = [Row(kind.name, part, batch, unit) for part, unit in kind.parts]
        yield attempt(lambda batch=batch: built[0].rows(batch), blanks)

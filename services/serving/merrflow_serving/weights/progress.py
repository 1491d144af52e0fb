"""What this process does to its weights right now: for the service's `Info`, which another thread answers.

One for the process, as one engine loads in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Step:
    """Something that takes its time, and since when (`time.monotonic`)."""

    def __init__(self, text: str) -> None:
        self.text = text  # such as "pulling qwen-audio: 3.2 of 16.8 GB"; may change, the beginning stays
        self.since = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since


_steps: list[Step] = []  # the innermost is last; appending and removing need no lock


@contextmanager
def step(text: str) -> Iterator[Step]:
    """Says that this is what is done inside."""
    one = Step(text)
    _steps.append(one)
    try:
        yield one
    finally:
        _steps.remove(one)


def now() -> Step | None:
    """The step that is being done; None where there is none."""
    return next(reversed(_steps[:]), None)

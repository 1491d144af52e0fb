"""What the loading of an engine does right now, for the service's `Info`, which another thread answers.

The service opens a `Progress` around its engine's loading; the code below adds its steps to whichever is open.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Step:
    """Something that takes time, and since when (`time.monotonic`)."""

    def __init__(self, text: str) -> None:
        self.text = text  # such as "pulling qwen-audio: 3.2 of 16.8 GB"
        self.since = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since

    def say(self, text: str) -> None:
        """Another text for the same step; its beginning stays."""
        self.text = text


class Progress:
    """The steps of one loading: written by the thread that loads, read by any."""

    def __init__(self) -> None:
        self._steps: list[Step] = []  # the innermost is last; appending and removing need no lock

    def now(self) -> Step | None:
        """The innermost step; None if there is none."""
        return next(reversed(self._steps[:]), None)

    @contextmanager
    def step(self, text: str) -> Iterator[Step]:
        """A step that lasts as long as the context."""
        one = Step(text)
        self._steps.append(one)
        try:
            yield one
        finally:
            self._steps.remove(one)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Inside, in this thread, `step` adds to this progress."""
        token = _open.set(self)
        try:
            yield
        finally:
            _open.reset(token)


_open: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def step(text: str) -> Iterator[Step]:
    """A step of the progress that is open in this thread; of none, such as on the command line, if none is."""
    with (_open.get() or Progress()).step(text) as one:
        yield one

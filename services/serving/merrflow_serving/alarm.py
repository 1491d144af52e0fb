"""Ends the process where native code hangs and keeps the interpreter to itself, so that nothing else could."""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Alarm:
    """Several works at once, each with `seconds` to end; 0: no limit. One thread sets it, such as the event loop's.

    The interpreter has one timer that needs no help of its own; it is for the work that must end first.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: list[float] = []  # monotonic times

    @contextmanager
    def over(self) -> Iterator[None]:
        """Around one work."""
        if not self._seconds:
            yield
            return
        due = time.monotonic() + self._seconds
        self._due.append(due)
        self._set()
        try:
            yield
        finally:
            self._due.remove(due)
            self._set()

    def _set(self) -> None:
        if self._due:
            faulthandler.dump_traceback_later(max(0.001, min(self._due) - time.monotonic()), exit=True)
        else:
            faulthandler.cancel_dump_traceback_later()

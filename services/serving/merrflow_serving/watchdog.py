"""Ends the process if native code hangs while it holds the interpreter's lock, so that no Python code could."""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Watchdog:
    """Gives each of several concurrent pieces of work `seconds` to finish; 0: no limit. Used from one thread only,
    such as the event loop's.

    Only faulthandler's timer fires without the interpreter. There is just one, so it is set to the earliest deadline.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadlines: list[float] = []  # monotonic times

    @contextmanager
    def over(self) -> Iterator[None]:
        """Watches the work inside the block."""
        if not self._seconds:
            yield
            return
        deadline = time.monotonic() + self._seconds
        self._deadlines.append(deadline)
        self._set()
        try:
            yield
        finally:
            self._deadlines.remove(deadline)
            self._set()

    def _set(self) -> None:
        if self._deadlines:
            faulthandler.dump_traceback_later(max(0.001, min(self._deadlines) - time.monotonic()), exit=True)
        else:
            faulthandler.cancel_dump_traceback_later()

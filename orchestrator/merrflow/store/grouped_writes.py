"""Writes of many clips, committed in groups: what comes within a moment, or during a transaction, shares one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from merrflow.core.errors import RunStopped
from merrflow.store.rows import StageWrite

MOST = 200  # rows of one transaction
# That a row which can wait does so for others. A transaction takes as long as ten rows. A process that is killed has
# so much less of its own work in the ledger; what services answered, and outcomes, are written at once.
PAUSE_SECONDS = 0.05


class GroupedWrites:
    """One thread that writes; safe to use from several. As a context manager it ends when all is written."""

    def __init__(self, write: Callable[[Sequence[StageWrite]], None]) -> None:
        """write: `Ledger.write`, which writes all of its rows or none."""
        self._write = write
        self._waiting: deque[tuple[StageWrite, Future[None]]] = deque()
        self._gone: RunStopped | None = None  # the ledger cannot be used any more; nobody waits for it once again
        self._is_called = False  # the thread is on its way to what waits
        self._now = threading.Event()  # something waits that is to be written at once, or all comes to its end
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-writer")

    def __enter__(self) -> GroupedWrites:
        return self

    def __exit__(self, *error: object) -> None:
        self._now.set()
        self._thread.shutdown()

    def put(self, write: StageWrite, *, can_wait: bool = False) -> Future[None]:
        """Done once the row is committed, or with the error. It is written even if nobody waits any more.

        can_wait: a moment, for others; it goes with the next row that cannot. Raises `RuntimeError` once all is closed.
        """
        future: Future[None] = Future()
        self._waiting.append((write, future))
        if not self._is_called:
            self._is_called = True  # first: the thread may be done before `submit` returns
            try:
                self._thread.submit(self._write_waiting)
            except RuntimeError:
                self._is_called = False
                raise
        if not can_wait:
            self._now.set()
        return future

    def _write_waiting(self) -> None:
        self._now.wait(PAUSE_SECONDS)
        self._now.clear()
        self._is_called = False  # first: what comes from here on has the thread called again
        waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        for first in range(0, len(waiting), MOST):
            self._write_group(waiting[first : first + MOST])

    def _write_group(self, group: Sequence[tuple[StageWrite, Future[None]]]) -> None:
        error = self._error_of([write for write, _ in group])
        for write, future in group:
            own = self._error_of([write]) if error and len(group) > 1 else error  # it may be another row's fault
            if future.set_running_or_notify_cancel():
                future.set_exception(own) if own else future.set_result(None)

    def _error_of(self, writes: Sequence[StageWrite]) -> Exception | None:
        if self._gone is None:
            try:
                self._write(writes)
            except RunStopped as error:
                self._gone = error
            except Exception as error:
                return error
        return self._gone

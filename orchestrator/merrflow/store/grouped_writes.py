"""Writes of many clips, committed in groups: what comes within a moment, or while another is written, shares a
transaction, which costs five times as much as a row in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from merrflow.core.errors import RunStopped
from merrflow.store.rows import StageWrite

MOST = 200  # rows of one transaction
DELAY_SECONDS = 0.05  # that a row waits for others; a kill loses no more than that


class GroupedWrites:
    """One thread that writes; safe to use from several. As a context manager it ends when all is written."""

    def __init__(self, write: Callable[[Sequence[StageWrite]], None], delay: float = DELAY_SECONDS) -> None:
        """write: `Ledger.write`, which writes all of its rows or none. delay: seconds that a row waits for others."""
        self._write = write
        self._delay = delay
        self._waiting: list[tuple[StageWrite, Future[None]]] = []
        self._changed = threading.Condition()
        self._is_urgent = self._is_closing = False
        self._gone: RunStopped | None = None  # the ledger cannot be used any more; nobody waits for it once again
        self._thread = threading.Thread(target=self._work, name="ledger-writer", daemon=True)

    def __enter__(self) -> GroupedWrites:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    def put(self, write: StageWrite) -> Future[None]:
        """Done once the row is committed, or with the error. It is written even if nobody waits any more. Raises
        `RuntimeError` once all is closed."""
        future: Future[None] = Future()
        with self._changed:
            if self._is_closing:
                raise RuntimeError("the ledger takes no more rows: the run has ended")
            self._waiting.append((write, future))
            if len(self._waiting) in (1, MOST):
                self._changed.notify()
        return future

    def hurry(self) -> None:
        """Has written at once what waits, because somebody waits for it."""
        with self._changed:
            if self._waiting and not self._is_urgent:
                self._is_urgent = True
                self._changed.notify()

    def _work(self) -> None:
        while group := self._next_group():
            self._write_group(group)

    def _next_group(self) -> Sequence[tuple[StageWrite, Future[None]]]:
        """Waits for it; empty once all is written and closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            self._changed.wait_for(
                lambda: self._is_urgent or self._is_closing or len(self._waiting) >= MOST, self._delay
            )
            group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            self._is_urgent = self._is_urgent and bool(self._waiting)
            return group

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

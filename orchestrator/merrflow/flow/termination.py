"""SIGTERM as an orderly stop: the run is cancelled, services are stopped and what is done is written out."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TerminationSignal(BaseException):
    """The run was asked to end by SIGTERM. (Prefect's exception of this name is raised at any point of the code.)"""


class Termination:
    """Whether SIGTERM is handled here."""

    def __init__(self, is_handled: bool) -> None:
        self._is_handled = is_handled

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Sets aside a handler of SIGTERM that was installed later, as Prefect's is."""
        if not self._is_handled:
            yield
            return
        before = signal.signal(signal.SIGTERM, lambda number, frame: None)  # the event loop's handler is still called
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def termination_cancels() -> Iterator[Termination]:
    """Within it, SIGTERM cancels the current task, once. `TerminationSignal` is raised when the task has ended.

    Does nothing outside the main thread, where no handler can be set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Termination(False)
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    before = signal.getsignal(signal.SIGTERM)
    came = False

    def on_signal() -> None:
        nonlocal came
        if not came and task:  # a second signal must not disturb the shutdown
            came = True
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, on_signal)
    try:
        yield Termination(True)
    except asyncio.CancelledError:
        if came:
            raise TerminationSignal from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)

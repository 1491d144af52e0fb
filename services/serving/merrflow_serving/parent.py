"""How a child process notices that its parent is gone, however that ended: the pipe at its standard input closes.

Unlike PR_SET_PDEATHSIG, this works on every Unix, and does not depend on the thread that started the child.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

STDIN = 0


def when_parent_ends(act: Callable[[], object]) -> None:
    """Calls `act` once, in a thread, when standard input ends: a pipe of which only the parent has the other end."""
    threading.Thread(target=_watch, args=(act,), daemon=True).start()


def end_with_parent(seconds: float) -> None:
    """As `end`, once standard input ends."""
    when_parent_ends(lambda: end(seconds))


def end(seconds: float) -> None:
    """Sends this process SIGTERM, and ends it `seconds` later if it is still there."""
    last = threading.Timer(seconds, os._exit, (1,))
    last.daemon = True
    last.start()
    os.kill(os.getpid(), signal.SIGTERM)


def _watch(act: Callable[[], object]) -> None:
    with suppress(OSError):  # it was closed from the beginning
        while os.read(STDIN, 4096):
            pass
    act()

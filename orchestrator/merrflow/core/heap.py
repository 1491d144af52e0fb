"""Spares the garbage collector what a run needs for long."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def settled_heap() -> Iterator[None]:
    """While the block lasts, no collection looks at what was there before it: a million objects of imported libraries,
    which took a millisecond a clip. Does nothing if the caller of merrflow has frozen objects itself."""
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def growing_heap() -> Iterator[None]:
    """While the block lasts, nothing is collected, and what is there at its end counts as old. For what makes hundreds
    of thousands of objects that stay, in a second or two: else the collector looks at each of them several times. Does
    nothing if the caller of merrflow has turned the collector off."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        is_due = gc.get_count()[0] > gc.get_threshold()[0]  # else there is little to look at
        if is_due and not gc.get_freeze_count():  # if there are others, which to thaw is not known
            gc.freeze()
            gc.unfreeze()  # into the oldest generation
        gc.enable()

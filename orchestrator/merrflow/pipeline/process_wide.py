"""What a run sets for its whole process while it works on clips: benchmarks of a run's work set the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from merrflow.core.heap import settled_heap


@contextmanager
def set_for_a_run() -> Iterator[None]:
    """While the block lasts, the process is as a run has it. Around all rounds of a run, not around each."""
    with settled_heap(), pictures_on_one_thread():
        yield


@contextmanager
def pictures_on_one_thread() -> Iterator[None]:
    """While the block lasts, OpenCV works on the thread that calls it.

    Small pictures gain nothing from its threads, which spin while they wait for the next: up to a tenth of the time of
    reading a clip on two cores. The setting is the process's, so it is put back; not by a block inside another one.
    """
    import cv2

    before = cv2.getNumThreads()
    if before == 1:
        yield
        return
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)

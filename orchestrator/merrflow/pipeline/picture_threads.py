"""Keeps OpenCV's own threads out of work that has a thread for each core already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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

"""OpenCV has one thread while clips are in work, and then as many as its caller gave it."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import pytest

from merrflow.pipeline.process_wide import pictures_on_one_thread


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield
    cv2.setNumThreads(before)


def test_the_callers_threads_are_back_after_the_outer_block() -> None:
    with pytest.raises(ValueError), pictures_on_one_thread():
        assert cv2.getNumThreads() == 1
        with pictures_on_one_thread():  # of a second run
            assert cv2.getNumThreads() == 1
        assert cv2.getNumThreads() == 1
        raise ValueError
    assert cv2.getNumThreads() == 3


def test_one_thread_that_the_caller_chose_stays() -> None:
    cv2.setNumThreads(1)
    with pictures_on_one_thread():
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == 1

"""How many clips are in work at the same time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from merrflow.core.measurements import Clip, FileState
from merrflow.pipeline.concurrency import CLIP_BYTES, FEWEST, MOST, clips_at_once, decoder_threads, mean_size

PLENTY = 1 << 40


@pytest.mark.parametrize(
    ("rooms", "free", "file", "expected"),
    [
        ([2, 8, 16, 2], PLENTY, 1e6, 32),  # the embedded engines
        ([128, 128, 128, 512], PLENTY, 1e6, MOST),
        ([0], PLENTY, 1e6, FEWEST),  # nothing is asked
        ([128, 128, 128, 512], 20 * CLIP_BYTES, 0, 10),  # half of what is free
        ([128, 128, 128, 512], 80 * CLIP_BYTES, CLIP_BYTES / 2, 20),  # half for the files
        ([128, 128, 128, 512], 0, 1e6, FEWEST),
        ([72, 72, 72, 32], 9 << 30, 1e6, 252),  # services that take a second for a batch of 36: half of 9 GiB is enough
    ],
)
def test_services_are_busy_and_memory_is_bounded(rooms, free, file, expected):
    assert clips_at_once(rooms, free, file) == expected


def test_of_clips_that_cannot_be_read_the_size_is_not_known():
    clip = Clip("c", Path("c.mp4"), "0" * 64, None, None, FileState(300, 1))
    assert mean_size([clip, replace(clip, file=None), replace(clip, file=FileState(100, 1))]) == 200
    assert mean_size([]) == mean_size([replace(clip, file=None)]) == 0


@pytest.mark.parametrize(
    ("clips", "cores", "threads"), [(1, 16, 16), (3, 16, 5), (16, 16, 1), (10_000, 16, 1), (0, 2, 2)]
)
def test_all_decoders_together_have_about_as_many_threads_as_there_are_cores(clips, cores, threads):
    assert decoder_threads(clips, cores) == threads

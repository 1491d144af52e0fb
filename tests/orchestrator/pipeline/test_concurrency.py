"""How many clips are in work at the same time."""

from __future__ import annotations

import pytest

from merrflow.pipeline.concurrency import CLIP_BYTES, FEWEST, MOST, clips_at_once, decoder_threads

PLENTY = 1 << 40


@pytest.mark.parametrize(
    ("rooms", "free", "expected"),
    [
        ([2, 8, 16, 2], PLENTY, 32),  # the embedded engines
        ([128, 128, 128, 512], PLENTY, MOST),
        ([0], PLENTY, FEWEST),  # nothing is asked
        ([128, 128, 128, 512], 20 * CLIP_BYTES, 10),  # half of what is free
        ([128, 128, 128, 512], 0, FEWEST),
    ],
)
def test_services_are_busy_and_memory_is_bounded(rooms, free, expected):
    assert clips_at_once(rooms, free) == expected


@pytest.mark.parametrize(
    ("clips", "cores", "threads"), [(1, 16, 16), (3, 16, 5), (16, 16, 1), (10_000, 16, 1), (0, 2, 2)]
)
def test_all_decoders_together_have_about_as_many_threads_as_there_are_cores(clips, cores, threads):
    assert decoder_threads(clips, cores) == threads

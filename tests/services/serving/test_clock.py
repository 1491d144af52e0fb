"""Times of frames: those of the file where they can be, strictly ascending in any case."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from merrflow_serving.media.clock import FrameClock


def mended(times: list[float | None], *, rate: float | None = 25.0, resets: bool = False) -> list[float]:
    """What the clock makes of a file's times."""
    clock: FrameClock[int] = FrameClock(rate, resets=resets)
    placed = [one for index, time in enumerate(times) for one in clock.add(index, time)] + list(clock.finish())
    assert [index for index, _ in placed] == list(range(len(times)))  # in order, none lost
    return [round(time, 4) for _, time in placed]


def steps(count: int, start: float = 0.0) -> list[float]:
    return [round(start + index / 25, 4) for index in range(count)]


@pytest.mark.parametrize("start", [0.0, -1.0, 3600.0])
def test_times_of_the_file_are_kept(start):
    uneven = [0.0, 0.1, 0.15, 0.9, 5.0, 5.04, 605.0]
    assert mended([start + time for time in uneven]) == uneven


def test_pictures_without_a_time_are_a_frame_apart():
    assert mended([None] * 5) == steps(5)
    assert mended([0.0, None, None, 0.12]) == steps(4)
    assert mended([None, None, 7.0, 7.04]) == steps(4)


def test_the_start_on_the_files_clock_is_known_with_the_first_time():
    clock: FrameClock[int] = FrameClock(25.0, resets=False)
    list(clock.add(0, None))
    assert clock.start is None
    list(clock.add(1, 7.0))
    assert clock.start == pytest.approx(6.96)


@pytest.mark.parametrize(
    ("times", "right"),
    [
        ([0.0, 0.04, 9.0, 0.12, 0.16], steps(5)),  # one far ahead
        ([0.0, 0.04, 0.02, 0.12, 0.16], steps(5)),  # one back
        ([0.0, 0.04, 0.04, 0.04, 0.12, 0.16], [0.0, 0.04, 0.0667, 0.0933, 0.12, 0.16]),  # repeated
        ([5.0, 0.0, 0.04, 0.08], steps(4)),  # the first is wrong
    ],
)
def test_a_picture_out_of_place_is_put_between_its_neighbours(times, right):
    assert mended(times) == pytest.approx(right, abs=1e-4)


@pytest.mark.parametrize("resets", [False, True])
def test_a_clock_that_is_set_back_goes_on(resets):
    assert mended([*steps(10, 100.0), *steps(10, 3.0), *steps(10, 0.0)], resets=resets) == steps(30)


def test_a_long_step_is_a_pause_in_a_film_and_a_reset_in_a_recording():
    times = [*steps(10), *steps(10, 26_000.0)]
    assert mended(times)[10] == 26_000.0
    assert mended(times, resets=True) == steps(20)
    assert mended([*steps(10), *steps(10, 5.0)], resets=True)[10] == 5.0  # as where reception was lost


@pytest.mark.parametrize("rate", [None, 0.0, 1e9, float("nan")])
def test_a_rate_that_no_film_has_is_not_used(rate):
    assert mended([None] * 3, rate=rate) == steps(3)


def test_times_always_ascend():
    for seed in range(200):
        source = random.Random(seed)
        times = [source.choice([None, source.uniform(-20, 20), source.uniform(0, 1), 3.0]) for _ in range(60)]
        for resets in (False, True):
            seen = mended(times, rate=source.choice([None, 24.0, 90_000.0]), resets=resets)
            assert all(one < next_ for one, next_ in pairwise(seen))

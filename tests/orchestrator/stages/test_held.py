"""What decoding leaves is held up to its bytes; what is made of it is the same as from the file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from merrflow.stages.held import Held
from merrflow.stages.probe import decode
from merrflow.stages.text_samples import read_samples
from tests.paths import ROOT

CLIP = ROOT / "examples" / "clips" / "surprise_visit.mp4"


def of(held: Held[str], clip: str, *sizes: int) -> None:
    held.begin(clip)
    for number, size in enumerate(sizes):
        held.add(clip, f"{clip}{number}", size)


def test_a_clip_that_does_not_fit_is_not_held_and_leaves_its_room_to_others() -> None:
    held: Held[str] = Held(10)
    of(held, "a", 3, 3)
    of(held, "b", 3, 3)
    of(held, "c", 4)
    assert held.take("b") is None
    assert held.take("a") == ("a0", "a1") and held.take("c") == ("c0",)


def test_what_is_taken_or_begun_again_makes_room() -> None:
    held: Held[str] = Held(10)
    for _ in range(3):
        of(held, "a", 5, 5)
    assert held.take("a") == ("a0", "a1")
    assert held.take("a") is None
    of(held, "b", 10)
    assert held.take("b") == ("b0",)


def test_nothing_was_found_differs_from_nothing_is_held() -> None:
    held: Held[str] = Held(10)
    of(held, "a")
    assert held.take("a") == () and held.take("never begun") is None


def test_many_threads_never_hold_more_than_the_limit() -> None:
    held: Held[int] = Held(100)

    def work(clip: str) -> int:
        held.begin(clip)
        for number in range(30):
            held.add(clip, number, 1)
        return len(held.take(clip) or ())

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(work, map(str, range(400))))
    assert set(found) <= {0, 30} and 30 in found
    of(held, "whole", 100)  # type: ignore[arg-type]
    assert held.take("whole") is not None


@pytest.mark.parametrize("threads", [1, 4])
def test_samples_that_are_read_again_are_those_of_the_probe(threads: int) -> None:
    first = decode(CLIP, max_seconds=60, max_pixels=1 << 24).text_samples
    again = read_samples(CLIP, max_pixels=1 << 24, threads=threads)
    assert len(first) == len(again) > 5
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        assert replace(one, image=other.image) == other

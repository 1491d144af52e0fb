"""Movement against pictures that were moved by a known amount."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_minigpt_v2.engines.measured.movement import measure_movement
from tests.services.minigpt_v2.pictures import flat, pattern

FACE = (0.4, 0.2, 0.2, 0.3)  # shares of the picture


def test_a_frame_twice_is_still():
    image = pattern()
    movement = measure_movement([(-0.2, image), (0.0, image)], FACE)
    assert movement.camera == pytest.approx(0, abs=1e-3) and movement.person == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("pixels", [3, 8])
def test_a_shifted_picture_moves_as_far_as_it_was_shifted(pixels):
    image = pattern()
    frames = [(0.2 * step, np.roll(image, pixels * step, axis=1)) for step in (-1, 0, 1)]
    movement = measure_movement(frames, FACE)
    assert movement.camera == pytest.approx(pixels / 320 / 0.2, rel=0.15)
    assert movement.person < 0.1  # the person moves with the picture, not in it
    assert movement.pairs == 2


def test_a_person_that_moves_before_a_still_background():
    image = pattern()
    person = pattern((160, 64), seed=1)

    def frame(shift: int) -> np.ndarray:
        made = image.copy()
        made[48:208, 128 + shift : 192 + shift] = person
        return made

    movement = measure_movement([(-0.1, frame(-4)), (0.0, frame(0)), (0.1, frame(4))], FACE)
    assert movement.camera == pytest.approx(0, abs=0.01)
    assert movement.person == pytest.approx(4 / (0.3 * 240) / 0.1, rel=0.3)


def test_movement_is_per_second():
    image = pattern()
    shifted = np.roll(image, 5, axis=1)
    slow = measure_movement([(0.0, image), (0.8, shifted)], None)
    fast = measure_movement([(0.0, image), (0.2, shifted)], None)
    assert fast.camera == pytest.approx(4 * slow.camera, rel=1e-6)


def test_a_shot_cut_is_not_movement():
    dark = (pattern(seed=1) // 4).astype(np.uint8)
    movement = measure_movement([(0.0, dark), (0.04, 255 - pattern(seed=2) // 4)], FACE)
    assert (movement.camera, movement.person, movement.pairs) == (None, None, 0)


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [(0.0, pattern())],
        [(0.0, pattern()), (0.0, pattern())],  # no time between them
        [(0.0, pattern()), (5.0, pattern())],  # too far apart
        [(0.0, flat(9, 9, 9)), (0.1, flat(9, 9, 9))],  # nothing to follow
    ],
)
def test_where_nothing_can_be_told_nothing_is(frames):
    assert measure_movement(frames, None).camera is None


def test_frames_of_other_sizes_are_compared():
    image = pattern((480, 640))
    movement = measure_movement([(0.0, image[::2, ::2]), (0.1, image)], None)
    assert movement.camera == pytest.approx(0, abs=0.05)

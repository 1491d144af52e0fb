"""Crops, tiles, brightening and cuts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merrflow_openface_au.engines.mediapipe.images import (
    MAX_TILES,
    CutDetector,
    brighten,
    brightness,
    crop_around,
    shrink,
    tiles,
)
from tests.services.openface_au.videos import noise


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    x=st.floats(-200, 300),
    y=st.floats(-200, 300),
    side=st.floats(0, 400),
)
def test_crops_are_never_empty_and_always_contiguous(width, height, x, y, side) -> None:
    image = np.arange(width * height * 3, dtype=np.uint32).astype(np.uint8).reshape(height, width, 3)
    crop, left, top = crop_around(image, (x, y), side)
    assert crop.flags.c_contiguous
    assert min(crop.shape[0], height) >= min(8, height)
    assert crop.size > 0
    assert (crop == image[top : top + crop.shape[0], left : left + crop.shape[1]]).all()


@given(width=st.integers(16, 4000), height=st.integers(16, 4000))
def test_tiles_cover_the_picture(width, height) -> None:
    made = tiles(width, height)
    assert 1 <= len(made) <= MAX_TILES
    for left, top, side in made:
        assert left >= 0 and top >= 0 and left + side <= width and top + side <= height
    if max(width, height) <= 3 * min(width, height):
        for corner in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1), (width // 2, height // 2)):
            assert any(left <= corner[0] < left + side and top <= corner[1] < top + side for left, top, side in made)


def test_dark_pictures_become_bright_and_keep_their_order() -> None:
    dark = (noise() // 8).astype(np.uint8)
    bright = brighten(dark, 110)
    assert brightness(dark) < 20
    assert 70 < brightness(bright) < 130
    flat = np.argsort(dark.ravel(), kind="stable")
    assert (np.diff(bright.ravel()[flat].astype(int)) >= 0).all()


def test_shrink_only_shrinks() -> None:
    image = noise(320, 240)
    small, factor = shrink(image, 160)
    assert small.shape == (120, 160, 3) and factor == 0.5
    same, factor = shrink(image, 999)
    assert same.shape == image.shape and factor == 1.0


def test_cut_is_found_and_movement_is_not() -> None:
    first, second = noise(seed=1), noise(seed=2)
    frames = [np.roll(first, 2 * i, axis=1) for i in range(8)] + [np.roll(second, 2 * i, axis=1) for i in range(8)]
    detector = CutDetector(12, 5)
    assert [i for i, frame in enumerate(frames) if detector.is_cut(frame)] == [8]


@pytest.mark.parametrize("shape", [(4, 4, 3), (1, 1, 3), (3, 900, 3)])
def test_tiny_pictures_do_no_harm(shape) -> None:
    detector = CutDetector(12, 5)
    image = np.zeros(shape, np.uint8)
    assert not detector.is_cut(image)
    assert not detector.is_cut(image)
    assert tiles(shape[1], shape[0])

"""Preparing a picture."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_minigpt_v2.engines.minigpt_v2 import preprocessing
from merrflow_minigpt_v2.engines.minigpt_v2.architecture import published
from merrflow_minigpt_v2.frames import check_frame
from merrflow_serving.errors import InvalidInput, TooLarge
from tests.services.minigpt_v2 import reference
from tests.services.minigpt_v2.tiny import picture


@pytest.mark.parametrize("size", [(90, 130), (33, 20), (56, 56), (400, 30), (1, 1), (1, 300)])
def test_bicubic_with_antialias_as_described(size):
    image = picture(3, *size)
    found, expected = preprocessing.resize_image(image, 56), reference.squash(image)
    assert found.shape == (56, 56, 3) and found.dtype == np.uint8
    # Pillow multiplies in whole numbers of 22 bits, so that a value at the border of two levels may fall either way.
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found == expected).mean() > 0.99


def test_not_what_opencv_calls_bicubic():
    import cv2

    image = picture(3, 300, 400)
    other = cv2.resize(image, (56, 56), interpolation=cv2.INTER_CUBIC)
    assert np.abs(preprocessing.resize_image(image, 56).astype(int) - other).max() > 20


def test_stored_levels():
    """Of Pillow 13.0."""
    small = preprocessing.resize_image(picture(1), 56)
    assert small[::18, ::18, 1].tolist() == [
        [208, 50, 210, 42],
        [169, 71, 195, 52],
        [140, 100, 177, 76],
        [110, 140, 133, 124],
    ]
    assert small.sum(dtype=int) == 1197586


def test_normalised_by_the_training_mean():
    shape = published().image
    grey = np.full((2, 2, 3), 255, np.uint8)
    found = preprocessing.normalise(grey, shape)
    assert found.shape == (3, 2, 2) and found.dtype == np.float32 and found.flags.c_contiguous
    assert found[:, 0, 0] == pytest.approx([1.9303361, 2.0748837, 2.1458972], abs=1e-6)
    dark = preprocessing.normalise(np.zeros((2, 2, 3), np.uint8), shape)
    assert dark[:, 1, 1] == pytest.approx([-1.7922626, -1.7520971, -1.4802198], abs=1e-6)
    assert (found[0] - found[1] != 0).all()  # the bands have numbers of their own


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_rgb_picture_is_refused(image):
    with pytest.raises(InvalidInput, match="RGB"):
        check_frame(image, 1000)


def test_too_many_pixels_are_refused():
    check_frame(np.zeros((10, 100, 3), np.uint8), 1000)
    with pytest.raises(TooLarge, match="101x10"):
        check_frame(np.zeros((10, 101, 3), np.uint8), 1000)


@pytest.mark.parametrize(("height", "width"), [(2_000_000, 1), (1, 2_000_000), (700_000, 3)])
def test_strips_take_no_more_memory_than_pictures(height, width, monkeypatch):
    """A strip at full height widened to 448 would be 900 million pixels."""
    between = []
    resize = preprocessing.Image.Image.resize

    def watched(self, size, *rest):
        between.append(size[0] * size[1])
        assert between[-1] < 1 << 26
        return resize(self, size, *rest)

    monkeypatch.setattr(preprocessing.Image.Image, "resize", watched)
    shade = np.linspace(0, 255, height * width).astype(np.uint8).reshape(height, width, 1)
    found = preprocessing.resize_image(np.repeat(shade, 3, axis=2), 448)
    assert found.shape == (448, 448, 3) and len(between) == 2
    along = found[:, 0, 0] if height > width else found[0, :, 0]
    assert along[0] < 2 and along[-1] > 252 and (np.diff(along.astype(int)) >= 0).all()

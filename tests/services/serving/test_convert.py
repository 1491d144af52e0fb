"""Conversion with kept plans: the same pixels as ffmpeg's own, and each picture its own memory."""

from __future__ import annotations

import av
import numpy as np

from merrflow_serving.media.convert import Converter


def frames(count: int, width: int, height: int) -> list[av.VideoFrame]:
    drawn = np.random.default_rng(0)
    made = [drawn.integers(0, 255, (height, width, 3), np.uint8) for _ in range(count)]
    return [av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p") for picture in made]


def test_pixels_are_those_of_a_frame_on_its_own() -> None:
    converter = Converter()
    for width, height in ((64, 48), (70, 46), (33, 31)):  # rows of 33 pixels do not end where memory is aligned
        for raw in frames(3, 66, 62):
            expected = raw.to_ndarray(format="rgb24", width=width, height=height)
            np.testing.assert_array_equal(converter.view(raw, width, height), expected)


def test_a_view_outlives_its_frame_and_the_next_conversion() -> None:
    converter = Converter()
    raws = frames(5, 64, 48)
    views = [converter.view(raw, 32, 24) for raw in raws]
    expected = [raw.to_ndarray(format="rgb24", width=32, height=24) for raw in raws]
    del raws
    for view, picture in zip(views, expected, strict=True):
        np.testing.assert_array_equal(view, picture)


def test_a_video_that_changes_its_size_keeps_few_plans() -> None:
    converter = Converter()
    for width in range(16, 64, 2):
        (raw,) = frames(1, width, 32)
        assert converter.view(raw, width, 32).shape == (32, width, 3)
    assert len(converter._plans) <= 8

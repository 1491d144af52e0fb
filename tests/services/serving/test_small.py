"""The small picture that is made of every frame: means of what its pixels cover, made once, upright."""

from __future__ import annotations

import av
import numpy as np
import pytest

from merrflow_serving.media.video import SMALL, VideoFrame


def grey(picture: np.ndarray) -> VideoFrame:
    return VideoFrame(0, 0.0, av.VideoFrame.from_ndarray(np.repeat(picture[..., None], 3, axis=2), format="rgb24"))


@pytest.mark.parametrize("times", [2, 4, 8])
def test_each_pixel_is_the_mean_of_those_that_it_covers(times: int) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (90 * times, SMALL * times), np.uint8)
    means = picture.reshape(90, times, SMALL, times).mean(axis=(1, 3))
    assert abs(grey(picture).small[..., 0] - means).max() < 2


def test_it_is_made_once_and_a_small_frame_stays_as_it_is() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (48, 64), np.uint8)
    frame = grey(picture)
    assert frame.small is frame.small
    np.testing.assert_array_equal(frame.small, frame.image)

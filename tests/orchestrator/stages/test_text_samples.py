"""Samples of pictures of any shape: what they hold in memory is bounded."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from merrflow.stages import text_samples
from merrflow.stages.text_samples import Sampler, take_sample
from merrflow_serving.media.video import VideoFrame


@pytest.mark.parametrize(
    ("size", "sample"),
    [
        ((1280, 720), (1280, 216)),
        ((1920, 1080), (1280, 216)),
        ((1080, 1920), (1080, 576)),
        ((2160, 3840), (1280, 683)),
        ((640, 480), (640, 144)),
    ],
)
def test_pictures_of_usual_shapes_keep_their_sizes(size, sample):
    width, height = size
    taken = take_sample(np.zeros((height, width, 3), np.uint8), 0.0)
    assert taken.image.shape == (sample[1], sample[0], 3)


@pytest.mark.parametrize("size", [(1280, 16_000), (1, 100_000), (100_000, 1), (5_000, 5_000)])
def test_a_sample_is_never_large(size):
    width, height = size
    taken = take_sample(np.zeros((height, width, 3), np.uint8), 0.0)
    assert 0 < taken.image.nbytes <= 3.01 * (1 << 20)
    assert taken.top >= 0 and taken.height >= taken.image.shape[0] and taken.width == taken.image.shape[1]


def test_all_samples_together_are_bounded(monkeypatch):
    monkeypatch.setattr(text_samples, "_MOST_BYTES", 3 << 20)
    sampler = Sampler()
    raw = av.VideoFrame.from_ndarray(np.zeros((1200, 400, 3), np.uint8), format="rgb24")
    for index in range(60):
        raw.pts, raw.time_base = index, Fraction(1)
        sampler.add(VideoFrame(index, float(index), raw))
    held = sum(sample.image.nbytes for sample in sampler.samples)
    assert 1 << 20 < held <= 3 << 20
    times = [sample.timestamp for sample in sampler.samples]
    assert times[0] == 0 and times == sorted(times) and times[-1] > 40

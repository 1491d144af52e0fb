"""Frames that wait for the filters together become what they become one by one."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from merrflow_serving.media.resampling import Resampler

RATE = 16_000


def frames(form: str, layout: str, rate: int, lengths: list[int]) -> list[av.AudioFrame]:
    """Noise, in frames of these lengths."""
    channels = len(av.AudioLayout(layout).channels)
    chance, made, start = np.random.default_rng(channels), [], 0
    for length in lengths:
        values = chance.uniform(-0.9, 0.9, (length, channels))
        samples = values.astype(np.float32) if form.startswith("flt") else (values * 32767).astype(np.int16)
        packed = samples.T if form.endswith("p") else samples.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format=form, layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), start
        start += length
        made.append(frame)
    return made


def one_by_one(given: list[av.AudioFrame], layout: str) -> np.ndarray:
    """By PyAV."""
    resampler = av.AudioResampler(format="flt", layout=layout, rate=RATE)
    pieces = [piece for frame in [*given, None] for piece in resampler.resample(frame)]
    flat = np.concatenate([np.zeros(0, np.float32), *(piece.to_ndarray()[0] for piece in pieces)])
    return flat.reshape(-1, len(av.AudioLayout(layout).channels))


@pytest.mark.parametrize("lengths", [[1024] * 90, [1], [1024, 1, 17, 960] * 30, [200_000, 3]])
@pytest.mark.parametrize("rate", [8_000, RATE, 44_100, 48_000])
@pytest.mark.parametrize(("form", "layout"), [("fltp", "stereo"), ("flt", "mono"), ("s16", "stereo"), ("s16p", "5.1")])
def test_samples_are_those_of_frames_that_are_resampled_one_by_one(
    form: str, layout: str, rate: int, lengths: list[int]
) -> None:
    given = frames(form, layout, rate, lengths)
    expected = one_by_one(given, layout)
    resampler = Resampler(given[0], layout, RATE)
    pieces = [piece for frame in given for piece in resampler.add(frame)] + resampler.finish()
    found = np.concatenate([np.zeros((0, expected.shape[1]), np.float32), *pieces])
    assert found.dtype == np.float32 and (len(found) > 0 or lengths == [1])
    np.testing.assert_array_equal(found, expected)


def test_frames_wait_together_but_not_for_long() -> None:
    given = frames("fltp", "stereo", 48_000, [1024] * 40)
    resampler = Resampler(given[0], "stereo", RATE)
    ready = [sum(map(len, resampler.add(frame))) for frame in given]
    assert sum(1 for samples in ready if samples) == 2  # of 40 * 341 samples, asked for after each 16 frames
    assert ready[15] == 4096 and ready[31] == 4096

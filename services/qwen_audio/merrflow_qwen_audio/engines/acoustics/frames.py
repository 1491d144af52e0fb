"""Splits sound into frames, and measures the level of frames."""

from __future__ import annotations

from typing import overload

import numpy as np

from merrflow_qwen_audio.arrays import Floats, FrameNumbers, Mask, Sound

SAMPLE_RATE = 16_000  # Hz, of all sound in this package
HOP = 160  # samples: 10 ms between frames, the usual step in prosody research
BLOCK = 2048  # frames processed at a time, so that a long recording needs little memory
FLOOR_DB = -120.0  # dB, the level of silence, so that no logarithm of 0 is taken


@overload
def decibels(power: float) -> np.float64: ...
@overload
def decibels(power: Sound) -> Floats: ...
def decibels(power: Sound | float) -> Floats | np.float64:
    """Power relative to 1 in dB, no lower than `FLOOR_DB`."""
    level: Floats | np.float64 = 10.0 * np.log10(np.maximum(power, 10.0 ** (FLOOR_DB / 10.0)))
    return level


def frame_count(samples: int) -> int:
    """The number of frames, `HOP` apart, whose centres are within `samples`."""
    return -(-samples // HOP)


def frames_at(samples: Sound, length: int, which: FrameNumbers) -> Sound:
    """(frames, length) windows centred on frame numbers `which`; zeros beyond both ends.

    Frame `i` is centred on sample `i * HOP + HOP / 2`.
    """
    if which.size == 0:
        return np.zeros((0, length))
    starts = which * HOP + HOP // 2 - length // 2
    first, end = int(starts.min()), int(starts.max()) + length
    before, after = max(0, -first), max(0, end - samples.size)
    part = np.pad(samples[max(first, 0) : min(end, samples.size)], (before, after))
    windows: Sound = np.lib.stride_tricks.sliding_window_view(part, length)[starts - first]
    return windows


def frame_power(samples: Sound, length: int) -> Floats:
    """(frames,) mean square in a Hann-weighted window of `length` samples around each frame's centre."""
    count = frame_count(samples.size)
    if count == 0:
        return np.zeros(0)
    window = np.hanning(length + 2)[1:-1]
    window /= window.sum()
    squares = samples.astype(np.float64) ** 2
    which = np.arange(count)
    parts = [frames_at(squares, length, which[at : at + BLOCK]) @ window for at in range(0, count, BLOCK)]
    return np.concatenate(parts)


def band_pass(samples: Sound, low: float, high: float) -> Floats:
    """The part of the sound between `low` and `high` Hz, without phase shift; edges 20 % wide."""
    if samples.size == 0:
        return samples.astype(np.float64)
    spectrum = np.fft.rfft(samples)
    frequency = np.fft.rfftfreq(samples.size, 1.0 / SAMPLE_RATE)
    rise = np.clip((frequency - 0.8 * low) / (0.2 * low), 0.0, 1.0) if low > 0 else 1.0
    fall = np.clip((1.2 * high - frequency) / (0.2 * high), 0.0, 1.0)
    gain = np.sin(0.5 * np.pi * rise) ** 2 * np.sin(0.5 * np.pi * fall) ** 2
    return np.fft.irfft(spectrum * gain, samples.size)


def runs(mask: Mask) -> list[tuple[int, int]]:
    """Runs of true values as (start, end), end exclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask.astype(bool), [False])).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]

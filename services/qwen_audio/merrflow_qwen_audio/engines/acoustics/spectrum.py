"""Spectral measures of the voice: balance between low and high frequencies, and cepstral peak prominence.

Alpha ratio and Hammarberg index as in Eyben et al. (2016), The Geneva Minimalistic Acoustic Parameter Set (GeMAPS),
IEEE Transactions on Affective Computing 7(2), 190-202. Cepstral peak prominence after Hillenbrand & Houde (1996),
Journal of Speech and Hearing Research 39, 311-321, in its smoothed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from merrflow_qwen_audio.arrays import Floats, Mask, Sound
from merrflow_qwen_audio.engines.acoustics.frames import BLOCK, SAMPLE_RATE, decibels, frames_at

LENGTH = 640  # samples: 40 ms
SIZE = 1024  # of the FFT
QUEFRENCY = (1.0 / 650.0, 1.0 / 60.0)  # seconds: where the peak of a voice can be
TREND_FROM = 0.001  # seconds: the trend line leaves out the vocal tract's own quefrencies
SMOOTH_FRAMES, SMOOTH_BINS = 3, 5  # 30 ms and 0.3 ms


@dataclass(frozen=True)
class SpectralMeasures:
    """Means over voiced frames."""

    alpha_ratio: float  # dB: energy in 1-5 kHz over that in 50-1000 Hz; higher for a louder, tenser voice
    hammarberg_index: float  # dB: strongest peak in 0-2 kHz over that in 2-5 kHz; lower for a louder, tenser voice
    cpp: float  # dB: prominence of the cepstral peak; lower for a breathy or hoarse voice


def spectral_measures(samples: Sound, voiced: Mask) -> SpectralMeasures | None:
    """Measures of (samples,) sound over the frames for which (frames,) `voiced` is true; None if there are none."""
    which = np.flatnonzero(voiced)
    if which.size == 0:
        return None
    frequency = np.fft.rfftfreq(SIZE, 1.0 / SAMPLE_RATE)
    low = (frequency >= 50) & (frequency < 1000)
    high = (frequency >= 1000) & (frequency <= 5000)
    under, over = frequency < 2000, (frequency >= 2000) & (frequency <= 5000)
    window = np.hanning(LENGTH + 2)[1:-1]
    alpha, hammarberg, cepstra = [], [], []
    for start in range(0, which.size, BLOCK):
        frames = frames_at(samples, LENGTH, which[start : start + BLOCK]).astype(np.float64)
        frames = frames - frames.mean(axis=1, keepdims=True)
        power = np.abs(np.fft.rfft(frames * window, SIZE)) ** 2
        alpha.append(decibels(power[:, high].sum(axis=1)) - decibels(power[:, low].sum(axis=1)))
        hammarberg.append(decibels(power[:, under].max(axis=1)) - decibels(power[:, over].max(axis=1)))
        cepstra.append(np.abs(np.fft.rfft(decibels(power), axis=1)) / power.shape[1])
    return SpectralMeasures(
        alpha_ratio=float(np.concatenate(alpha).mean()),
        hammarberg_index=float(np.concatenate(hammarberg).mean()),
        cpp=_prominence(np.concatenate(cepstra)),
    )


def _prominence(cepstra: Floats) -> float:
    """Mean height in dB of the cepstral peak over the cepstrum's trend, from (frames, quefrencies) magnitudes."""
    cepstra = _smooth(_smooth(cepstra, SMOOTH_FRAMES, axis=0), SMOOTH_BINS, axis=1)
    level = 2.0 * decibels(cepstra)  # magnitudes, so 20 log10
    quefrency = np.arange(cepstra.shape[1]) / (cepstra.shape[1] - 1) * (SIZE / 2) / SAMPLE_RATE
    trend_at = np.flatnonzero(quefrency >= TREND_FROM)
    peak_at = np.flatnonzero((quefrency >= QUEFRENCY[0]) & (quefrency <= QUEFRENCY[1]))
    x = quefrency[trend_at]
    y = level[:, trend_at]
    slope = ((y - y.mean(axis=1, keepdims=True)) * (x - x.mean())).sum(axis=1) / ((x - x.mean()) ** 2).sum()
    best = peak_at[level[:, peak_at].argmax(axis=1)]
    trend = y.mean(axis=1) + slope * (quefrency[best] - x.mean())
    return float((level[np.arange(level.shape[0]), best] - trend).mean())


def _smooth(values: Floats, width: int, axis: int) -> Floats:
    """Moving average of odd `width` along `axis`, with the edge values repeated."""
    half = width // 2
    pad = [(0, 0), (0, 0)]
    pad[axis] = (half, half)
    padded = np.pad(values, pad, mode="edge")
    smoothed: Floats = np.lib.stride_tricks.sliding_window_view(padded, width, axis=axis).mean(axis=-1)
    return smoothed

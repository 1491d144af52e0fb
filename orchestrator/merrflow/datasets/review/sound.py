"""A clip's sound as a picture and its pitch as a curve, for the eye alone: no record depends on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from merrflow_serving.media.audio import SAMPLE_RATE, read_sound

MAX_SECONDS = 120.0  # of sound; a longer clip has no picture of it
_WINDOW, _MOST_COLUMNS = 512, 1200  # samples (32 ms); columns of the picture
_TOP_HZ = 5000.0
_FLOOR_DB = 70.0  # below the loudest, where black begins
_STEP, _FRAME = 320, 1024  # samples of the pitch: every 20 ms, of 64 ms
_LOW_HZ, _HIGH_HZ = 70.0, 500.0
_VOICED = 0.5  # autocorrelation over energy, from which a frame counts as voiced (after Boersma 1993)
_QUIET = 0.02  # of the loudest frame's amplitude, below which there is no pitch


@dataclass(frozen=True)
class SoundPicture:
    """What is drawn."""

    png: bytes  # grey, time to the right, frequency upwards to 5 kHz
    seconds: float
    pitch: tuple[tuple[float, float], ...]  # seconds and hertz of each voiced frame


def draw_sound(path: Path) -> SoundPicture:
    """Raises `UnreadableMedia`, `MissingStream` or `TooLarge`. Blocking; some 20 ms for a second of sound."""
    samples = read_sound(path, max_seconds=MAX_SECONDS).samples
    return SoundPicture(_png(_spectrogram(samples)), samples.size / SAMPLE_RATE, pitch(samples))


def pitch(samples: np.ndarray) -> tuple[tuple[float, float], ...]:
    """By autocorrelation, frame by frame. samples: (samples,) float32 at 16 kHz."""
    if samples.size < _FRAME:
        return ()
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_STEP] * np.hanning(_FRAME)
    spectra = np.fft.rfft(frames, 2 * _FRAME)
    found = np.fft.irfft(np.abs(spectra) ** 2)[:, :_FRAME]
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(_FRAME), 2 * _FRAME)) ** 2)[:_FRAME]
    shortest, longest = int(SAMPLE_RATE / _HIGH_HZ), int(SAMPLE_RATE / _LOW_HZ)
    energy = np.maximum(found[:, :1], 1e-12)
    strength = (found / energy / np.maximum(window / window[0], 0.05))[:, shortest:longest]
    # The shortest lag that is nearly as good as the best: a multiple of the period fits as well.
    good = strength >= 0.9 * strength.max(axis=1, keepdims=True)
    lag = good.argmax(axis=1)
    while (better := _next_higher(strength, lag)).any():
        lag = lag + better
    loud = np.sqrt(found[:, 0])
    voiced = (strength.max(axis=1) >= _VOICED) & (loud >= _QUIET * max(loud.max(), 1e-9)) & (loud > 1e-6)
    return tuple(
        (round((place * _STEP + _FRAME / 2) / SAMPLE_RATE, 3), round(SAMPLE_RATE / (shortest + lag[place]), 1))
        for place in np.flatnonzero(voiced)
    )


def _next_higher(strength: np.ndarray, lag: np.ndarray) -> np.ndarray:
    """Whether the value to the right of each lag is higher still."""
    rows, after = np.arange(len(lag)), np.minimum(lag + 1, strength.shape[1] - 1)
    return np.asarray(strength[rows, after] > strength[rows, lag])


def _spectrogram(samples: np.ndarray) -> np.ndarray:
    """(rows, columns) uint8, the highest frequency in the first row."""
    step = max(_WINDOW // 4, -(-samples.size // _MOST_COLUMNS))
    padded = np.pad(samples, (0, max(0, _WINDOW - samples.size)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::step] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames)) ** 2
    power = power[:, : int(_TOP_HZ / SAMPLE_RATE * _WINDOW)]
    decibels = 10 * np.log10(power + 1e-10)
    scaled = np.clip((decibels - decibels.max() + _FLOOR_DB) / _FLOOR_DB, 0, 1)
    return np.ascontiguousarray((scaled * 255).astype(np.uint8).T[::-1])


def _png(grey: np.ndarray) -> bytes:
    import cv2

    return bytes(cv2.imencode(".png", grey)[1])

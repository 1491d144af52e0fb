"""Whether sound without speech is music.

There are two signs of music, and either is enough:

- Sustained tones. Seyerlehner, Pohle, Schedl & Widmer (2007), Automatic music detection in television productions,
  DAFx: peaks of the spectrum stay at one frequency while notes sound, so that "continuous frequency activation"
  is high. A hum or a dial tone does that too, but it does not move; music does.
- A beat with more than one sound in it: onsets repeat at an even distance (drum loops have no sustained tones). A
  clock or a dripping tap repeats one sound, a drum pattern several.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from merrflow_qwen_audio.arrays import Floats, Sound
from merrflow_qwen_audio.engines.acoustics.frames import HOP, SAMPLE_RATE, decibels

TONE_WINDOW, TONE_HOP = 1024, 256  # samples: 64 and 16 ms
TONE_BLOCK = 2.0  # seconds over which a tone must be sustained
NEIGHBOURHOOD = 21  # bins of the spectrum whose mean a peak is compared with
PEAK_HEIGHT = 3.0  # dB over the neighbourhood
AUDIBLE = 60.0  # dB below the loudest bin; quieter peaks do not count
STRONGEST = 5  # activation peaks that are summed
BEAT_WINDOW = 512  # samples
BEAT_PERIODS = (0.2, 1.2)  # seconds: 300 to 50 beats a minute
SHORTEST = 1.0  # seconds of sound needed to detect tones; twice that for a beat
LONGEST = 60.0  # seconds that are looked at, from the start: enough to decide, and little memory

# Set on 26 excerpts of game music, synthesised chords, melodies and drum loops, against applause, sliding, rolling,
# snoring, white and pink noise, hum, dial tone, siren, clock and footsteps; see tests.
LEAST_ACTIVATION = 2.3
LEAST_MOVEMENT = 1.5  # dB
LEAST_BEAT = 0.6
LEAST_VARIETY = 0.18  # octaves


@dataclass(frozen=True)
class MusicMeasures:
    """Signs of music."""

    activation: float  # sum of the five strongest sustained frequencies' activations, 0 to 5
    movement: float  # dB: how much the sustained frequencies' levels change over time
    beat: float  # autocorrelation of onsets at the best beat period, -1 to 1
    variety: float  # octaves: spread of the onsets' spectral centroids

    @property
    def holds_tones(self) -> bool:
        """True if several frequencies are sustained, and change."""
        return self.activation >= LEAST_ACTIVATION and self.movement >= LEAST_MOVEMENT

    @property
    def is_music(self) -> bool:
        """True if tones are sustained and move, or if a beat has several sounds."""
        return self.holds_tones or (self.beat >= LEAST_BEAT and self.variety >= LEAST_VARIETY)


def music_measures(samples: Sound) -> MusicMeasures | None:
    """Signs of music in (samples,) sound; None if it is too short."""
    if samples.size < SHORTEST * SAMPLE_RATE:
        return None
    samples = samples[: int(LONGEST * SAMPLE_RATE)]
    activation, movement = _tones(samples)
    beat, variety = _beat(samples) if samples.size >= 2 * SHORTEST * SAMPLE_RATE else (0.0, 0.0)
    return MusicMeasures(activation, movement, beat, variety)


def _spectra(samples: Sound, length: int, hop: int) -> Floats:
    """(frames, bins) power."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]
    power: Floats = np.abs(np.fft.rfft(frames * np.hanning(length), axis=1)) ** 2
    return power


def _tones(samples: Sound) -> tuple[float, float]:
    """Activation and movement, each the mean over blocks of two seconds."""
    level = decibels(_spectra(samples, TONE_WINDOW, TONE_HOP))
    half = NEIGHBOURHOOD // 2
    total = np.cumsum(np.pad(level, ((0, 0), (half + 1, half)), mode="edge"), axis=1)
    around = (total[:, NEIGHBOURHOOD:] - total[:, :-NEIGHBOURHOOD]) / NEIGHBOURHOOD
    active = (level - around > PEAK_HEIGHT) & (level > level.max() - AUDIBLE)
    active[:, :3] = False  # below 47 Hz
    length = int(TONE_BLOCK * SAMPLE_RATE / TONE_HOP)
    activations, movements = [], []
    for start in range(0, max(1, len(level) - length // 2), length // 2):
        share = active[start : start + length].mean(axis=0)
        heights, places = _prominences(share)
        best = np.argsort(-heights, kind="stable")[:STRONGEST]
        activations.append(float(heights[best].sum()))
        changes = level[start : start + length, places[best]].std(axis=0)
        movements.append(float(np.median(changes)) if changes.size else 0.0)
    return float(np.mean(activations)), float(np.mean(movements))


def _prominences(values: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Heights of local maxima over the higher of the two minima beside them, and their indices."""
    turns = [0]
    for index in range(1, values.size - 1):
        if (values[index] - values[turns[-1]]) * (values[index + 1] - values[index]) < 0 or (
            values[index] != values[index - 1] and values[index] == values[index + 1]
        ):
            turns.append(index)
    turns.append(values.size - 1)
    at = np.array(turns)
    v = values[at]
    peaks = np.flatnonzero((v[1:-1] > v[:-2]) & (v[1:-1] >= v[2:])) + 1
    return v[peaks] - np.maximum(v[peaks - 1], v[peaks + 1]), at[peaks]


def _beat(samples: Sound) -> tuple[float, float]:
    """Strength of the best beat, and variety of the sounds on it."""
    magnitude = np.sqrt(_spectra(samples, BEAT_WINDOW, HOP))
    edges = np.unique(np.geomspace(2, magnitude.shape[1] - 1, 25).astype(int))
    bands = np.stack([magnitude[:, low:high].mean(axis=1) for low, high in pairwise(edges)], axis=1)
    loudness = np.log1p(1000.0 * bands / max(float(bands.max()), 1e-9))
    onset = np.convolve(np.maximum(np.diff(loudness, axis=0), 0.0).mean(axis=1), np.hanning(7) / 3.0, "same")
    onset = onset - np.convolve(onset, np.ones(100) / 100.0, "same")
    size = 1 << int(np.ceil(np.log2(2 * onset.size)))
    r = np.fft.irfft(np.abs(np.fft.rfft(onset, size)) ** 2, size)[: onset.size]
    if r[0] <= 1e-12:
        return 0.0, 0.0
    r = r / r[0] * onset.size / (onset.size - np.arange(onset.size))
    per_second = SAMPLE_RATE / HOP
    low, high = int(BEAT_PERIODS[0] * per_second), min(int(BEAT_PERIODS[1] * per_second), onset.size // 2)
    peaks = np.flatnonzero((onset[1:-1] > onset[:-2]) & (onset[1:-1] >= onset[2:])) + 1
    peaks = peaks[onset[peaks] > 0.2 * onset.max()]
    if peaks.size < 4 or high <= low:
        return float(r[low:high].max()) if high > low else 0.0, 0.0
    frequency = np.fft.rfftfreq(BEAT_WINDOW, 1.0 / SAMPLE_RATE)[1:]
    after = np.minimum(peaks + 2, magnitude.shape[0] - 1)  # a little after the onset, within the sound itself
    weight = magnitude[after, 1:]
    centroid = (weight * np.log2(frequency)).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-12)
    return float(r[low:high].max()), float(centroid.std())

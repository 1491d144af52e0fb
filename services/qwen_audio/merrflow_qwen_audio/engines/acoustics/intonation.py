"""Intonation, from an F0 track: height, range, slope, ending, tremor. Intervals are in semitones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np

from merrflow_qwen_audio.arrays import Floats, FrameNumbers, Mask
from merrflow_qwen_audio.engines.acoustics.frames import HOP, SAMPLE_RATE, runs
from merrflow_qwen_audio.engines.acoustics.pitch import PitchTrack

LEAST_VOICED = 10  # frames: pitch is not measured in less than 0.1 s of voice
ENDING = 0.4  # seconds of voice that count as the ending, at most
LEAST_ENDING = 0.15  # seconds, at least: about a syllable
ENDING_GAP = 0.05  # seconds without voice, such as a consonant, that do not break the ending
ENDING_REST = 0.3  # seconds of voiceless speech that may follow it
LEAST_SLOPE_SECONDS = 0.5  # of time between the first and the last voiced frame, for a slope
TREMOR_BAND = (4.0, 8.0)  # Hz
TREMOR_SECONDS = 0.5  # two cycles of the slowest tremor


@dataclass(frozen=True)
class PitchMeasures:
    """Pitch over the voiced frames of speech."""

    mean: float  # Hz
    median: float  # Hz
    low: float  # Hz, 10th percentile
    high: float  # Hz, 90th percentile
    range: float  # semitones between the two
    deviation: float  # semitones, standard deviation
    slope: float | None  # semitones per second, straight line through all; None if too short
    ending: float | None  # semitones over the last 0.15-0.4 s of voice
    tremor: float | None  # semitones, half the swing at 4-8 Hz in a sustained vowel; None if none is sustained


@overload
def semitones(ratio: float) -> np.float64: ...
@overload
def semitones(ratio: Floats) -> Floats: ...
def semitones(ratio: Floats | float) -> Floats | np.float64:
    """A ratio of frequencies as an interval."""
    interval: Floats | np.float64 = 12.0 * np.log2(ratio)
    return interval


def pitch_measures(track: PitchTrack, strong: Mask, nuclei: FrameNumbers, end: float) -> PitchMeasures | None:
    """Measures of a track; None with less than 0.1 s of voice.

    `strong` is (frames,) bool: voiced frames that count for height, range and slope. `nuclei` are frame numbers of
    syllables; `end` is where speech ends, in seconds.
    """
    at = np.flatnonzero(strong)
    if at.size < LEAST_VOICED:
        return None
    f0 = track.f0[at]
    low, median, high = (float(value) for value in np.percentile(f0, [10, 50, 90]))
    interval = semitones(f0 / median)
    time = at * HOP / SAMPLE_RATE
    spread = time[-1] - time[0]
    slope = float(np.polyfit(time, interval, 1)[0]) if spread >= LEAST_SLOPE_SECONDS else None
    return PitchMeasures(
        mean=float(f0.mean()),
        median=median,
        low=low,
        high=high,
        range=float(semitones(high / low)),
        deviation=float(interval.std()),
        slope=slope,
        ending=_ending(track, end),
        tremor=_tremor(track, nuclei),
    )


def _ending(track: PitchTrack, end: float) -> float | None:
    """Rise over the last unbroken stretch of voice; None if it is too short or not at the `end` of speech."""
    at = np.flatnonzero(track.voiced)
    time, interval = at * HOP / SAMPLE_RATE, semitones(track.f0[at])
    breaks = np.flatnonzero(np.diff(time) > ENDING_GAP + HOP / SAMPLE_RATE)
    first = max(int(breaks[-1]) + 1 if breaks.size else 0, int(np.searchsorted(time, time[-1] - ENDING)))
    last, voice = time[first:], interval[first:]
    if last[-1] - last[0] < LEAST_ENDING or end - last[-1] > ENDING_REST:
        return None
    third = voice.size // 3
    # The centres of the outer thirds are two thirds of the length apart. Their medians tolerate a stray frame, which a
    # fitted line does not.
    return float(1.5 * (np.median(voice[-third:]) - np.median(voice[:third])))


def _tremor(track: PitchTrack, nuclei: FrameNumbers) -> float | None:
    """The largest 4-8 Hz modulation in a sustained vowel, in semitones.

    Syllables come at 4-8 Hz too and move the pitch with them, so a voiced stretch with more than one syllable
    cannot separate tremor from speech and is left out.
    """
    found: list[float] = []
    rate = SAMPLE_RATE / HOP
    for start, end in runs(track.voiced):
        inside = ((nuclei >= start) & (nuclei < end)).sum()
        if end - start < TREMOR_SECONDS * rate or inside > 1:
            continue
        x = np.linspace(-1.0, 1.0, end - start)
        interval = semitones(track.f0[start:end] / np.median(track.f0[start:end]))
        rest = interval - np.polyval(np.polyfit(x, interval, 3), x)
        window = np.hanning(rest.size)
        size = 1024
        amplitude = 2.0 * np.abs(np.fft.rfft(rest * window, size)) / window.sum()
        frequency = np.fft.rfftfreq(size, 1.0 / rate)
        peak = int(amplitude[frequency >= 2.0].argmax()) + int((frequency < 2.0).sum())
        inside_band = TREMOR_BAND[0] <= frequency[peak] <= TREMOR_BAND[1]
        found.append(float(amplitude[peak]) if inside_band else 0.0)
    return max(found) if found else None

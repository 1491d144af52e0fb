"""How loud the band of speech is over time, and how well a mouth moves with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from pydantic import Field

from merrflow.core.datafile import Strict
from merrflow.stages.arrays import Floats, Sound
from merrflow_serving.media.audio import SAMPLE_RATE

VERSION = "2"  # of voice_energy, as part of the probe's key: another band or step gives other values
BAND = (300.0, 3400.0)  # Hz: the telephone band of ITU-T G.712, which keeps speech and little of rumble and hiss
STEP_SECONDS = 0.04  # one frame at 25 frames a second; syllables come at 2 to 7 Hz
SILENCE = -100.0  # dBFS: the lowest value, also if there is nothing at all


class SpeakingRules(Strict):
    """When a mouth counts as moving with the voice; see subject.yaml."""

    silence: float
    range: float = Field(gt=0)
    smooth_seconds: float = Field(gt=0)
    voice_after: float = Field(ge=0)
    voice_before: float = Field(ge=0)
    least_seconds: float = Field(gt=0)
    chance: float = Field(ge=0)


def voice_energy(audio: Sound) -> tuple[float, ...]:
    """The level of the speech band in dBFS, one value for each 40 ms, rounded to 0.1.

    audio: (samples,) float32 at 16 kHz in [-1, 1]. 0 dBFS is a root mean square of 1, so that a sine at full
    scale has -3. A last piece shorter than 40 ms is measured over its own length. Raises ValueError for an array
    that is not flat.
    """
    samples = np.asarray(audio, np.float64)
    if samples.ndim != 1:
        raise ValueError(f"voice_energy takes (samples,), not an array of shape {samples.shape}")
    if not samples.size:
        return ()
    from scipy.signal import sosfilt

    power = sosfilt(_speech_band(), np.nan_to_num(samples)) ** 2
    starts = np.arange(0, samples.size, round(STEP_SECONDS * SAMPLE_RATE))
    mean = np.add.reduceat(power, starts) / np.diff([*starts, samples.size])
    level = 10 * np.log10(np.maximum(mean, 10 ** (SILENCE / 10)))
    return tuple(float(value) for value in np.round(level, 1) + 0.0)  # + 0.0: no -0.0


@cache
def _speech_band() -> Floats:
    """The filter's sections. Never written to."""
    from scipy.signal import butter

    sections: Floats = butter(4, BAND, "bandpass", fs=SAMPLE_RATE, output="sos")
    return sections


def has_voice(energy: Sequence[float], rules: SpeakingRules) -> bool:
    """Whether the level can identify a speaker: loud enough at times, and not as even as music or noise."""
    if len(energy) * STEP_SECONDS < rules.least_seconds:
        return False
    low, high = np.percentile(energy, [10, 95])
    return bool(high >= rules.silence and high - low >= rules.range)


def with_voice(
    seconds: Sequence[float], openings: Sequence[float | None], energy: Sequence[float], rules: SpeakingRules
) -> float:
    """How well a mouth moves with the voice: 0 for no better than by chance, 1 for exactly.

    seconds: (frames,) times of the frames in which the person is seen, ascending. openings: (frames,) the mouth's
    opening in each, None if it was not measured. energy: as from `voice_energy`.

    The speed of the opening and the level of the voice are smoothed and correlated, at the delay between them that
    suits best: lips move before the sound is heard (Chandrasekaran et al. 2009, "The natural statistics of
    audiovisual speech": by 100 to 300 ms), and files run out of step by a frame or two. Any two curves look alike
    by chance, the more so the shorter and the slower they are; so the correlation counts from what chance gives
    (see `chance` in subject.yaml). The idea of the moving mouth as the mark of the speaker: Everingham et al. 2006,
    "Hello! My name is... Buffy".
    """
    times, speed = _speeds(np.asarray(seconds, np.float64), np.array(openings, np.float64))
    if len(times) < 3:
        return 0.0
    step = float(np.median(np.diff(times)))
    if len(times) * step < rules.least_seconds:
        return 0.0
    level = np.asarray(energy, np.float64)
    level = np.maximum(level - np.percentile(level, 10), 0.0)
    clock = (np.arange(len(level), dtype=np.float64) + 0.5) * STEP_SECONDS
    near = slice(*np.searchsorted(clock, [times[0] - 1, times[-1] + 1]))  # a second more than is looked at
    level, clock = level[near], clock[near]
    if not len(clock):
        return 0.0
    mouth = _smooth(np.log(speed + 0.05), times, rules.smooth_seconds)  # 0.05 a second: the landmarks' own jitter
    voice = _smooth(level, clock, rules.smooth_seconds)
    best = 0.0
    for delay in np.arange(-rules.voice_before, rules.voice_after + 1e-9, STEP_SECONDS):
        inside = (times + delay >= clock[0] - STEP_SECONDS / 2) & (times + delay <= clock[-1])
        if inside.sum() * step >= rules.least_seconds / 2:
            best = max(best, _correlation(mouth[inside], np.interp(times[inside] + delay, clock, voice)))
    floor = rules.chance * _spread(mouth, np.interp(times, clock, voice))
    return max(0.0, (best - floor) / (1 - floor)) if floor < 1 else 0.0


def _speeds(seconds: Floats, openings: Floats) -> tuple[Floats, Floats]:
    """Times, and the absolute speed of the opening there in 1/s, over the frames on either side; no gaps bridged."""
    seen = np.isfinite(openings)
    seconds, openings = seconds[seen], openings[seen]
    if len(seconds) < 3:
        return seconds[:0], openings[:0]
    span = seconds[2:] - seconds[:-2]
    near = (span > 0) & (span < 2.5 * np.median(np.diff(seconds)))
    speed = np.abs(openings[2:] - openings[:-2])[near] / span[near]
    return seconds[1:-1][near], speed


def _smooth(values: Floats, times: Floats, width: float) -> Floats:
    """Means over `width` seconds around each time; times ascend."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    low = np.searchsorted(times, times - width / 2 - 1e-6)
    high = np.searchsorted(times, times + width / 2 + 1e-6)
    means: Floats = (sums[high] - sums[low]) / (high - low)
    return means


def _correlation(one: Floats, other: Floats) -> float:
    """Pearson's; 0 if one of them does not change. `np.corrcoef` takes ten times as long."""
    one, other = one - one.mean(), other - other.mean()
    least = 1e-12 * len(one)
    if (power := float(one @ one)) < least or (other_power := float(other @ other)) < least:
        return 0.0
    return float(one @ other) / math.sqrt(power * other_power)


def _spread(one: Floats, other: Floats) -> float:
    """The standard deviation of the correlation of two independent series that are each as slow as these.

    Bartlett 1935: (1 + 2 sum of the products of their autocorrelations) / length, over a quarter of the length.
    """
    length = len(one)

    def autocorrelations(values: Floats) -> Floats:
        values = values - values.mean()
        power = np.abs(np.fft.rfft(values, 2 * length)) ** 2
        sums = np.fft.irfft(power)[: max(1, length // 4)]
        return sums / max(float(sums[0]), 1e-12)

    products = autocorrelations(one)[1:] * autocorrelations(other)[1:]
    return float(np.sqrt(np.clip((1 + 2 * products.sum()) / length, 1 / length, 1.0)))

"""Glottal cycles, and how they vary from one to the next: jitter and shimmer.

Periods are found by the cross-correlation of neighbouring cycles, as in Praat's "To PointProcess (cc)"; jitter and
shimmer are its "local" measures (Praat manual, "Voice 2. Jitter" and "Voice 3. Shimmer").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from merrflow_qwen_audio.arrays import Floats, Sound
from merrflow_qwen_audio.engines.acoustics.frames import HOP, SAMPLE_RATE, runs
from merrflow_qwen_audio.engines.acoustics.pitch import PitchTrack

SEARCH = (0.8, 1.25)  # of the expected period
LEAST_MATCH = 0.3  # cross-correlation below which the cycles are not the same voice
PERIOD_FACTOR = 1.3  # neighbouring periods that differ more are not one voice's cycles
AMPLITUDE_FACTOR = 1.6


@dataclass(frozen=True)
class CycleMeasures:
    """Cycle-to-cycle variation over all voiced stretches."""

    cycles: int  # periods that were used
    jitter: float  # mean absolute difference of neighbouring periods over the mean period, as a ratio
    shimmer: float  # the same of peak-to-peak amplitudes


def cycle_measures(samples: Sound, track: PitchTrack) -> CycleMeasures | None:
    """Jitter and shimmer of (samples,) sound; None if fewer than two pairs of cycles were found."""
    periods_all: list[float] = []
    differences: list[float] = []
    amplitudes_all: list[float] = []
    steps: list[float] = []
    sound = samples.astype(np.float64)
    for start, end in runs(track.voiced):
        times = _cycle_times(sound, track, start, end)
        if times.size < 4:
            continue
        periods = np.diff(times)
        amplitudes = _amplitudes(sound, times)
        ratio = periods[1:] / periods[:-1]
        same = (ratio < PERIOD_FACTOR) & (ratio > 1.0 / PERIOD_FACTOR)
        periods_all.extend(periods)
        differences.extend(np.abs(np.diff(periods))[same])
        level = amplitudes[1:] / np.maximum(amplitudes[:-1], 1e-12)
        steady = same & (level < AMPLITUDE_FACTOR) & (level > 1.0 / AMPLITUDE_FACTOR)
        steps.extend(np.abs(np.diff(amplitudes))[steady])
        amplitudes_all.extend(amplitudes)
    if len(differences) < 2 or len(steps) < 2:
        return None
    return CycleMeasures(
        cycles=len(periods_all),
        jitter=float(np.mean(differences) / np.mean(periods_all)),
        shimmer=float(np.mean(steps) / np.mean(amplitudes_all)),
    )


def _cycle_times(sound: Floats, track: PitchTrack, start: int, end: int) -> Floats:
    """Times in samples at which cycles of one voiced stretch (frames start to end) recur."""
    first, last = start * HOP, min(end * HOP, sound.size)
    middle = (start + end) // 2
    period = SAMPLE_RATE / track.f0[middle]
    low = max(int(middle * HOP + HOP / 2 - period / 2), 0)
    high = min(int(middle * HOP + HOP / 2 + period / 2) + 1, sound.size)
    anchor = low + int(np.abs(sound[low:high]).argmax())
    forward = _walk(sound, track, anchor, first, last, +1)
    backward = _walk(sound, track, anchor, first, last, -1)
    return np.array([*reversed(backward), float(anchor), *forward])


def _walk(sound: Floats, track: PitchTrack, anchor: int, first: int, last: int, direction: int) -> list[float]:
    """Cycle times from `anchor` on, until the stretch ends or the cycles stop matching."""
    times: list[float] = []
    time = float(anchor)
    while True:
        frame = min(max(int(time) // HOP, 0), track.f0.size - 1)
        f0 = track.f0[frame]
        if f0 <= 0:
            return times
        period = SAMPLE_RATE / f0
        here = round(time)
        half = max(int(period / 2), 4)
        near, far = int(SEARCH[0] * period), int(np.ceil(SEARCH[1] * period)) + 1
        low = here - half + (near if direction > 0 else -far)
        high = here + half + (far if direction > 0 else -near)
        if here < half or low < 0 or high > sound.size or here + half > sound.size:
            return times
        cycle = sound[here - half : here + half]
        others = sound[low:high]
        energy = np.cumsum(np.concatenate(([0.0], others * others)))
        norm = np.sqrt((energy[2 * half :] - energy[: -2 * half]) * (cycle @ cycle))
        match = np.correlate(others, cycle) / np.maximum(norm, 1e-20)
        best = int(match.argmax())
        if match[best] < LEAST_MATCH:
            return times
        shift = float(best)
        if 0 < best < match.size - 1:
            bend = match[best - 1] - 2 * match[best] + match[best + 1]
            if abs(bend) > 1e-12:
                shift += 0.5 * (match[best - 1] - match[best + 1]) / bend
        # The lag is relative to the rounded position, and added to the exact one.
        time += low + half + shift - here
        if not first <= time < last:
            return times
        times.append(time)


def _amplitudes(sound: Floats, times: Floats) -> Floats:
    """(cycles,) peak-to-peak amplitude within half a period of each time but the last."""
    values = []
    for time, period in zip(times[:-1], np.diff(times), strict=True):
        low, high = max(int(time - period / 2), 0), int(time + period / 2) + 1
        cycle = sound[low:high]
        values.append(float(cycle.max() - cycle.min()) if cycle.size else 0.0)
    return np.array(values)

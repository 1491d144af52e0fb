"""Fundamental frequency (F0) and harmonicity by autocorrelation with a Viterbi path.

Boersma, P. (1993). Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of
a sampled sound. IFA Proceedings 17, 97-110. Costs are that paper's, and the defaults of the Praat manual.

The search range is found in two passes, as De Looze & Hirst (2008, Speech Prosody) and Hirst (2011) do, so that
octave errors of one voice's range do not enter another's. The range is wider than theirs (0.75 of the first quartile
to 1.5 times the third): emotional speech leaps, and sentences end in deep falls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from merrflow_qwen_audio.arrays import Floats, FrameNumbers, Mask, Sound
from merrflow_qwen_audio.engines.acoustics.frames import BLOCK, HOP, SAMPLE_RATE, frame_count, frames_at, runs

FLOOR_SHARE, CEILING_SHARE = 0.67, 2.5  # of the first and third quartile of the first pass
LOWEST, HIGHEST = 60.0, 650.0  # Hz: from creak-free bass voices to shouting and children
SILENCE_THRESHOLD = 0.03
VOICING_THRESHOLD = 0.45
OCTAVE_COST = 0.01
OCTAVE_JUMP_COST = 0.35
VOICING_COST = 0.14
CANDIDATES = 8  # voiced ones for each frame, besides the unvoiced one
UPSAMPLING = 2  # of the autocorrelation, before a parabola finds its peaks; the first pass needs none
SHORTEST_RUN = 3  # frames; a shorter voiced stretch is a click


@dataclass(frozen=True)
class PitchTrack:
    """F0 at every frame of 10 ms."""

    f0: Floats  # (frames,) Hz; 0 if unvoiced
    harmonicity: Floats  # (frames,) normalised autocorrelation at the period, 0 to 1; 0 if unvoiced
    floor: float  # Hz, of the second pass
    ceiling: float  # Hz, of the second pass

    @property
    def voiced(self) -> Mask:
        """(frames,)"""
        return self.f0 > 0


def track_pitch(samples: Sound, allowed: Mask) -> PitchTrack:
    """The F0 of (samples,) sound at 16 kHz, in the frames for which (frames,) `allowed` is true."""
    first = _one_pass(samples, allowed, LOWEST, HIGHEST, 1)
    heard = first.f0[first.f0 > 0]
    if heard.size < 10:
        return first
    low, high = np.percentile(heard, [25, 75])
    return _one_pass(samples, allowed, max(LOWEST, FLOOR_SHARE * low), min(HIGHEST, CEILING_SHARE * high), UPSAMPLING)


def _one_pass(samples: Sound, allowed: Mask, floor: float, ceiling: float, upsampling: int) -> PitchTrack:
    count = frame_count(samples.size)
    f0, harmonicity = np.zeros(count), np.zeros(count)
    spans = runs(allowed[:count])
    which = np.flatnonzero(allowed[:count])
    if which.size:
        peak = float(np.abs(samples[which[0] * HOP : (which[-1] + 1) * HOP]).max())
        blocks = [
            _candidates(samples, which[start : start + BLOCK], floor, ceiling, peak, upsampling)
            for start in range(0, which.size, BLOCK)
        ]
        frequency = np.concatenate([block[0] for block in blocks])
        strength = np.concatenate([block[1] for block in blocks])
        height = np.concatenate([block[2] for block in blocks])
        position = 0
        for start, end in spans:  # a path does not continue across a gap between two stretches of speech
            part = slice(position, position + end - start)
            chosen = _best_path(frequency[part], strength[part])
            rows = np.arange(end - start)
            f0[start:end] = frequency[part][rows, chosen]
            harmonicity[start:end] = height[part][rows, chosen]
            position += end - start
    for start, end in runs(f0 > 0):
        if end - start < SHORTEST_RUN:
            f0[start:end] = harmonicity[start:end] = 0.0
    return PitchTrack(f0, harmonicity, floor, ceiling)


def _candidates(
    samples: Sound, which: FrameNumbers, floor: float, ceiling: float, peak: float, upsampling: int
) -> tuple[Floats, Floats, Floats]:
    """(frames, 1 + CANDIDATES) frequencies in Hz (0: unvoiced), strengths and autocorrelation heights."""
    length = int(3.0 * SAMPLE_RATE / floor)  # three periods of the lowest pitch
    window = np.hanning(length + 2)[1:-1].astype(np.float32)
    size = 1 << int(np.ceil(np.log2(1.5 * length)))
    frames = frames_at(samples, length, which).astype(np.float32)  # half the time of float64
    frames = frames - frames.mean(axis=1, keepdims=True)
    middle = length // 2 - length // 6
    local = np.abs(frames[:, middle : length - middle]).max(axis=1)

    fine = upsampling * size
    window_r = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2, fine)
    sound_r = np.fft.irfft(np.abs(np.fft.rfft(frames * window, size)) ** 2, fine)
    last = min(int(upsampling * SAMPLE_RATE / floor) + 2, upsampling * length // 2)
    energy = np.maximum(sound_r[:, :1], 1e-30)
    r = (sound_r[:, :last] / energy) / (window_r[:last] / window_r[0])

    inner = r[:, 1:-1]
    first_lag = int(upsampling * SAMPLE_RATE / ceiling)
    is_peak = (inner > r[:, :-2]) & (inner >= r[:, 2:]) & (inner > 0.5 * VOICING_THRESHOLD)
    is_peak[:, : max(first_lag - 1, 0)] = False
    lags = np.arange(1, last - 1)
    tau = lags / (upsampling * SAMPLE_RATE)
    score = np.where(is_peak, inner - OCTAVE_COST * np.log2(floor * tau), -np.inf)
    keep = min(CANDIDATES, score.shape[1])
    best = np.argpartition(-score, keep - 1, axis=1)[:, :keep]
    best = np.take_along_axis(best, np.argsort(-np.take_along_axis(score, best, axis=1), axis=1), axis=1)
    found = np.isfinite(np.take_along_axis(score, best, axis=1))

    left, centre, right = (np.take_along_axis(r, best + shift, axis=1) for shift in (0, 1, 2))
    bend = left - 2.0 * centre + right
    offset = np.where(np.abs(bend) > 1e-12, 0.5 * (left - right) / np.where(bend == 0, 1.0, bend), 0.0)
    height = centre - 0.25 * (left - right) * offset
    height = np.where(height > 1.0, 1.0 / np.maximum(height, 1e-9), height)  # as Praat reflects r above 1
    tau = (best + 1 + np.clip(offset, -0.5, 0.5)) / (upsampling * SAMPLE_RATE)

    rows = which.size
    frequency = np.zeros((rows, 1 + CANDIDATES))
    strength = np.full((rows, 1 + CANDIDATES), -np.inf)
    heights = np.zeros((rows, 1 + CANDIDATES))
    loud = local / peak if peak > 0 else np.zeros(rows)
    strength[:, 0] = VOICING_THRESHOLD + np.maximum(0.0, 2.0 - loud / (SILENCE_THRESHOLD / (1.0 + VOICING_THRESHOLD)))
    frequency[:, 1 : 1 + keep] = np.where(found, 1.0 / tau, 0.0)
    strength[:, 1 : 1 + keep] = np.where(found, height - OCTAVE_COST * np.log2(floor * tau), -np.inf)
    heights[:, 1 : 1 + keep] = np.where(found, height, 0.0)
    return frequency, strength, heights


def _best_path(frequency: Floats, strength: Floats) -> npt.NDArray[np.int64]:
    """(frames,) the candidate to take in each frame: most strength, least jumping (Viterbi)."""
    rows, width = frequency.shape
    voiced = frequency > 0
    octave = np.log2(np.where(voiced, frequency, 1.0))
    back = np.zeros((rows, width), dtype=np.int64)
    total = strength[0].copy()
    for row in range(1, rows):
        both = voiced[row - 1][:, None] & voiced[row][None, :]
        differ = voiced[row - 1][:, None] ^ voiced[row][None, :]
        jump = np.abs(octave[row - 1][:, None] - octave[row][None, :])
        cost = np.where(both, OCTAVE_JUMP_COST * jump, np.where(differ, VOICING_COST, 0.0))
        reach = total[:, None] - cost
        back[row] = reach.argmax(axis=0)
        total = reach[back[row], np.arange(width)] + strength[row]
    path = np.empty(rows, dtype=np.int64)
    path[-1] = int(total.argmax())
    for row in range(rows - 1, 0, -1):
        path[row - 1] = back[row, path[row]]
    return path

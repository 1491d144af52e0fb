"""Sounds with known truth: (samples,) float32 at 16 kHz."""

from __future__ import annotations

import numpy as np

RATE = 16_000


def times(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * RATE)) / RATE


def tone(frequency: float | np.ndarray, seconds: float = 2.0, *, harmonics: int = 8, level: float = 0.1) -> np.ndarray:
    """Harmonics with amplitudes 1/h of a frequency in Hz that may change over time."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(frequency, times(seconds).shape)) / RATE
    sound = sum(np.sin(h * phase) / h for h in range(1, harmonics + 1))
    return (level * sound).astype(np.float32)


def glide(start: float, end: float, seconds: float = 2.0) -> np.ndarray:
    """A tone that moves evenly in semitones."""
    t = times(seconds)
    return tone(start * (end / start) ** (t / t[-1]), seconds)


def noise(seconds: float = 3.0, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(times(seconds).size)).astype(np.float32)


def vowel_train(f0: float, *, jitter: float = 0.0, shimmer: float = 0.0, seconds: float = 2.0, seed: int = 1):
    """A pulse train through three formants, with its true local jitter and shimmer.

    Returns the sound, mean |T(i+1) - T(i)| / mean T, and the same of the pulses' amplitudes.
    """
    rng = np.random.default_rng(seed)
    fine = 8  # pulses are placed on a grid eight times finer than the samples
    count = round(seconds * RATE)
    pulses = np.zeros(count * fine)
    at, periods, heights = 0.05, [], []
    while at < seconds - 0.05:
        heights.append(1 + shimmer * rng.standard_normal())
        pulses[round(at * RATE * fine)] += heights[-1]
        periods.append((1 + jitter * rng.standard_normal()) / f0)
        at += periods[-1]
    spectrum = np.fft.rfft(pulses)[: count // 2 + 1]
    z = np.exp(-2j * np.pi * np.arange(spectrum.size) / count)
    for formant, bandwidth in ((700, 90), (1220, 110), (2600, 170)):
        radius = np.exp(-np.pi * bandwidth / RATE)
        spectrum = spectrum / (1 - 2 * radius * np.cos(2 * np.pi * formant / RATE) * z + (radius * z) ** 2)
    sound = np.fft.irfft(spectrum, count)
    return (
        (0.3 * sound / np.abs(sound).max()).astype(np.float32),
        np.abs(np.diff(periods)).mean() / np.mean(periods),
        np.abs(np.diff(heights)).mean() / np.mean(heights),
    )


def chords(seconds: float = 6.0, beats_per_minute: float = 100.0) -> np.ndarray:
    """Plucked triads, two beats each."""
    sound = np.zeros(times(seconds).size)
    step = round(RATE * 120 / beats_per_minute)
    for number, start in enumerate(range(0, sound.size, step)):
        t = times(min(step, sound.size - start) / RATE)
        for semitone in ((3, 7, 10), (8, 12, 15), (10, 14, 17), (0, 3, 7))[number % 4]:
            f = 220 * 2 ** (semitone / 12)
            voice = sum(np.sin(2 * np.pi * f * h * t + h) / h**1.5 for h in range(1, 7))
            sound[start : start + t.size] += voice * np.exp(-1.2 * t) * (1 - np.exp(-80 * t))
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def drums(seconds: float = 6.0, beats_per_minute: float = 120.0) -> np.ndarray:
    """Bass drum, snare and hi-hat."""
    rng = np.random.default_rng(0)
    sound = np.zeros(times(seconds).size + RATE)
    t = times(0.25)
    for number in range(int(seconds * beats_per_minute / 30)):
        hit = 0.3 * rng.standard_normal(t.size) * np.exp(-60 * t)
        if number % 4 == 0:
            hit = hit + 1.2 * np.sin(2 * np.pi * 55 * t) * np.exp(-12 * t)
        if number % 4 == 2:
            hit = hit + 0.8 * rng.standard_normal(t.size) * np.exp(-18 * t)
        start = round(number * 30 / beats_per_minute * RATE)
        sound[start : start + t.size] += hit
    return (0.4 * sound / np.abs(sound).max()).astype(np.float32)[: times(seconds).size]


def ticking(seconds: float = 5.0) -> np.ndarray:
    """A clock: the same sound twice a second."""
    rng = np.random.default_rng(0)
    sound = noise(seconds, 0.001)
    for start in range(0, sound.size - 400, RATE // 2):
        sound[start : start + 400] += 0.3 * rng.standard_normal(400) * np.exp(-np.arange(400) / 60)
    return sound


def hum(seconds: float = 5.0) -> np.ndarray:
    return tone(50.0, seconds, level=0.05) + noise(seconds, 0.001)


def mixed(voice: np.ndarray, other: np.ndarray, snr: float) -> np.ndarray:
    """`voice` with `other` at a signal-to-noise ratio in dB over the whole."""
    other = np.resize(other, voice.size)
    gain = np.sqrt(np.mean(voice**2) / np.mean(other**2)) * 10 ** (-snr / 20)
    return (voice + gain * other).astype(np.float32)

"""Synthetic speech, made in memory.

As it is by default, it is the recording that warms the engines up: `data/warmup.wav` of merrflow_qwen_audio.
"""

from __future__ import annotations

import numpy as np

from merrflow_qwen_audio.arrays import Samples

SAMPLE_RATE = 16_000  # Hz
# Formants in Hz of four vowels, and bandwidths in Hz, after Peterson & Barney (1952) and Klatt (1980).
VOWELS = (
    (700.0, 1220.0, 2600.0, 3500.0),
    (300.0, 2300.0, 3000.0, 3500.0),
    (400.0, 800.0, 2400.0, 3500.0),
    (550.0, 1800.0, 2500.0, 3500.0),
)
BANDWIDTHS = (80.0, 100.0, 140.0, 200.0)
TILT = 0.95  # one-pole low-pass of the glottal source


def spoken_vowels(
    seconds: float = 2.0, *, f0: float = 140.0, syllables_per_second: float = 5.0, breath: float = 0.006
) -> Samples:
    """(samples,) float32 at 16 kHz: vowels one after the other, each a syllable of its own.

    Pulses of a moving F0 (Hz; its geometric mean over the first seconds is near `f0`), with some `breath` noise, go
    through formant resonances.
    """
    count = int(seconds * SAMPLE_RATE)
    time = np.arange(count) / SAMPLE_RATE
    contour = f0 * 2.0 ** ((4.0 * np.sin(2.0 * np.pi * 0.7 * time) - 2.0 * time) / 12.0)
    source = np.diff(np.floor(np.cumsum(contour) / SAMPLE_RATE), prepend=0.0)
    source = source + breath * np.random.default_rng(0).standard_normal(count)
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(count, 1.0 / SAMPLE_RATE) / SAMPLE_RATE)
    length = int(SAMPLE_RATE / syllables_per_second)
    envelope = np.sin(np.pi * np.arange(length) / length) ** 0.6
    syllables = np.zeros((len(VOWELS), count))  # those of a vowel go through its resonances together
    for number in range(count // length):
        part = slice(number * length, (number + 1) * length)
        syllables[number % len(VOWELS), part] = source[part] * envelope
    spectrum = np.zeros(len(z), complex)
    for formants, spoken in zip(VOWELS, syllables, strict=True):
        one = np.fft.rfft(spoken) / (1.0 - TILT * z)
        for frequency, bandwidth in zip(formants, BANDWIDTHS, strict=True):
            radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE)
            turn = np.cos(2.0 * np.pi * frequency / SAMPLE_RATE)
            one /= 1.0 - 2.0 * radius * turn * z + radius**2 * z**2
        spectrum += one
    sound = np.fft.irfft(spectrum, count)
    sound = np.diff(sound, prepend=0.0)  # radiation at the lips
    recording: Samples = (0.3 * sound / np.abs(sound).max()).astype(np.float32)
    return recording

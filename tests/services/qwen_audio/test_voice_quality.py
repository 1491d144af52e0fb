"""Jitter, shimmer, spectral balance and cepstral peak, on pulse trains of known irregularity."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_qwen_audio.engines.acoustics.frames import frame_count
from merrflow_qwen_audio.engines.acoustics.jitter_shimmer import cycle_measures
from merrflow_qwen_audio.engines.acoustics.pitch import track_pitch
from merrflow_qwen_audio.engines.acoustics.spectrum import spectral_measures
from tests.services.qwen_audio.signals import mixed, noise, times, tone, vowel_train


def track(sound):
    return track_pitch(sound, np.ones(frame_count(sound.size), bool))


@pytest.mark.parametrize("f0", [110.0, 220.0])
@pytest.mark.parametrize("jitter", [0.005, 0.01, 0.02])
def test_jitter(f0, jitter):
    sound, true_jitter, _ = vowel_train(f0, jitter=jitter)
    found = cycle_measures(sound, track(sound))
    assert found.jitter == pytest.approx(true_jitter, rel=0.2)
    assert found.cycles == pytest.approx(1.9 * f0, rel=0.1)


def test_a_regular_voice_has_no_jitter():
    sound, _, _ = vowel_train(125.0)
    found = cycle_measures(sound, track(sound))
    assert found.jitter < 0.002
    assert found.shimmer < 0.01


@pytest.mark.parametrize("shimmer", [0.05, 0.1])
def test_shimmer(shimmer):
    sound, _, true_shimmer = vowel_train(120.0, shimmer=shimmer)
    assert cycle_measures(sound, track(sound)).shimmer == pytest.approx(true_shimmer, rel=0.2)


def test_noise_has_no_cycles():
    sound = noise(2.0)
    assert cycle_measures(sound, track(sound)) is None


def test_alpha_ratio_and_hammarberg_index_of_two_tones():
    """Equal tones at 500 and 3000 Hz: both are 0 dB; with the upper 20 dB down, -20 and +20 dB."""
    t = times(1.0)
    for drop in (0.0, 20.0):
        sound = np.sin(2 * np.pi * 500 * t) + 10 ** (-drop / 20) * np.sin(2 * np.pi * 3000 * t)
        found = spectral_measures(sound, np.ones(frame_count(sound.size), bool))
        assert found.alpha_ratio == pytest.approx(-drop, abs=1.0)
        assert found.hammarberg_index == pytest.approx(drop, abs=1.0)


def test_cepstral_peak_falls_with_breath():
    voice = tone(150.0, 2.0, harmonics=40)
    prominence = [spectral_measures(mixed(voice, noise(2.0), snr), np.ones(200, bool)).cpp for snr in (30, 15, 5, -5)]
    assert prominence == sorted(prominence, reverse=True)
    assert prominence[0] - prominence[-1] > 5


def test_no_voice_no_spectrum():
    assert spectral_measures(noise(1.0), np.zeros(100, bool)) is None

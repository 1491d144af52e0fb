"""F0, harmonicity and what is worked out from them, on signals whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_qwen_audio.engines.acoustics.frames import HOP, band_pass, frame_count, frame_power, runs
from merrflow_qwen_audio.engines.acoustics.intonation import pitch_measures, semitones
from merrflow_qwen_audio.engines.acoustics.pitch import track_pitch
from tests.services.qwen_audio.signals import RATE, glide, mixed, noise, times, tone, vowel_train

NO_NUCLEI = np.zeros(0, np.int64)


def everywhere(sound: np.ndarray) -> np.ndarray:
    return np.ones(frame_count(sound.size), bool)


@pytest.mark.parametrize("frequency", [75.0, 120.0, 210.0, 333.3, 600.0])
def test_steady_pitch(frequency):
    sound = tone(frequency)
    track = track_pitch(sound, everywhere(sound))
    assert track.voiced.mean() > 0.95
    assert np.abs(semitones(track.f0[track.voiced] / frequency)).max() < 0.1


@pytest.mark.parametrize("frequency", [90.0, 180.0, 350.0])
def test_vowels_have_no_octave_errors(frequency):
    """Formants make single harmonics louder than the fundamental."""
    sound, _, _ = vowel_train(frequency, jitter=0.005)
    track = track_pitch(sound, everywhere(sound))
    assert np.abs(semitones(track.f0[track.voiced] / frequency)).max() < 1.0


def test_missing_fundamental():
    """As over a telephone: the pitch is that of the harmonics."""
    t = times(1.0)
    sound = sum(0.1 * np.sin(2 * np.pi * 150 * h * t) for h in range(3, 9)).astype(np.float32)
    track = track_pitch(sound, everywhere(sound))
    assert np.median(track.f0[track.voiced]) == pytest.approx(150, rel=0.005)


@pytest.mark.parametrize(("start", "end"), [(100, 200), (300, 150)])
def test_glide_gives_slope_and_range(start, end):
    sound = glide(start, end, 2.0)
    track = track_pitch(sound, everywhere(sound))
    found = pitch_measures(track, track.voiced, NO_NUCLEI, 2.0)
    octave = semitones(end / start)
    assert found.slope == pytest.approx(octave / 2.0, rel=0.03)
    assert found.range == pytest.approx(0.8 * abs(octave), rel=0.05)  # 10th to 90th percentile of an even glide
    assert found.median == pytest.approx(np.sqrt(start * end), rel=0.02)
    assert found.ending == pytest.approx(octave * 0.4 / 2.0, rel=0.15)


def test_ending_is_that_of_the_last_stretch_of_voice():
    sound = np.concatenate([tone(200.0, 1.0), np.zeros(RATE // 2, np.float32), glide(130, 190, 0.3)])
    track = track_pitch(sound, everywhere(sound))
    found = pitch_measures(track, track.voiced, NO_NUCLEI, 1.8)
    assert found.ending == pytest.approx(semitones(190 / 130), rel=0.2)
    assert pitch_measures(track, track.voiced, NO_NUCLEI, 2.5).ending is None, "speech goes on without voice"


def test_tremor_only_in_sustained_voice():
    t = times(1.5)
    steady = pitch_tremor(tone(150.0, 1.5))
    shaking = pitch_tremor(tone(150.0 * 2 ** (0.8 * np.sin(2 * np.pi * 5.5 * t) / 12), 1.5))
    slow = pitch_tremor(tone(150.0 * 2 ** (0.8 * np.sin(2 * np.pi * 2.5 * t) / 12), 1.5))
    assert steady < 0.05
    assert shaking == pytest.approx(0.8, rel=0.15)
    assert slow == 0.0


def test_no_tremor_is_told_where_syllables_come():
    sound = tone(150.0, 1.5)
    track = track_pitch(sound, everywhere(sound))
    assert pitch_measures(track, track.voiced, np.array([40, 70, 100]), 1.5).tremor is None


def pitch_tremor(sound: np.ndarray) -> float:
    track = track_pitch(sound, everywhere(sound))
    return pitch_measures(track, track.voiced, NO_NUCLEI, 1.5).tremor


def test_noise_and_silence_have_no_pitch():
    for sound in (noise(2.0), np.zeros(RATE, np.float32)):
        assert track_pitch(sound, everywhere(sound)).voiced.mean() < 0.02


def test_pitch_is_sought_where_it_is_allowed():
    sound = tone(200.0, 2.0)
    allowed = everywhere(sound)
    allowed[:100] = False
    track = track_pitch(sound, allowed)
    assert not track.voiced[:100].any()
    assert track.voiced[100:].mean() > 0.95


@pytest.mark.parametrize("snr", [5, 10, 20])
def test_harmonicity_is_the_harmonics_to_noise_ratio(snr):
    """Boersma (1993): r / (1 - r) is the ratio of the powers."""
    sound = mixed(tone(150.0, 2.0, harmonics=14), noise(2.0), snr)
    track = track_pitch(sound, everywhere(sound))
    r = track.harmonicity[track.voiced]
    assert np.mean(10 * np.log10(r / (1 - r))) == pytest.approx(snr, abs=1.0)


def test_one_frame_and_none():
    for count in (0, 1, 159, 160, 161, 800):
        sound = np.ones(count, np.float32)
        assert track_pitch(sound, everywhere(sound)).f0.size == frame_count(count) == -(-count // HOP)


def test_frame_power_follows_a_step():
    sound = np.concatenate([np.full(RATE, 0.1), np.full(RATE, 0.01)])
    power = frame_power(sound, 400)
    assert power[50] == pytest.approx(0.01) and power[150] == pytest.approx(0.0001)


def test_band_pass_keeps_its_band():
    inside, outside = tone(1000.0, 1.0, harmonics=1), tone(50.0, 1.0, harmonics=1)
    kept = band_pass(inside + outside, 300, 3300)
    assert np.abs(kept - inside)[1000:-1000].max() < 0.01


def test_runs():
    assert runs(np.array([True, True, False, True])) == [(0, 2), (3, 4)]
    assert runs(np.zeros(0, bool)) == []

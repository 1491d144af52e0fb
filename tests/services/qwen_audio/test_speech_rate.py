"""Syllables and pauses."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from merrflow_qwen_audio.engines.acoustics.frames import frame_count
from merrflow_qwen_audio.engines.acoustics.pitch import track_pitch
from merrflow_qwen_audio.engines.acoustics.speech_rate import pace_measures, syllable_nuclei
from merrflow_qwen_audio.types import Span
from tests.services.qwen_audio.signals import RATE, noise
from tests.services.qwen_audio.synthetic_speech import spoken_vowels


def nuclei(sound):
    speech = np.ones(frame_count(sound.size), bool)
    return syllable_nuclei(sound, track_pitch(sound, speech).voiced, speech)


@pytest.mark.parametrize("rate", [2.5, 4.0, 5.0, 6.25])
def test_known_syllable_rate(rate):
    assert abs(nuclei(spoken_vowels(4.0, syllables_per_second=rate)).size - 4 * rate) <= 1


def test_voiceless_bursts_are_no_syllables():
    bursts = np.concatenate([noise(0.15), np.zeros(1600, np.float32)] * 8)
    assert nuclei(bursts).size == 0


def test_silence_has_no_syllables():
    assert nuclei(np.zeros(0, np.float32)).size == 0
    assert nuclei(np.zeros(RATE, np.float32)).size == 0


def test_rates_and_pauses():
    spans = (Span(1.0, 2.0), Span(2.1, 3.0), Span(4.0, 5.0))
    at = (np.array([1.1, 1.5, 2.2, 2.8, 3.5, 4.5]) * 100).astype(int)  # one lies in the pause and does not count
    found = pace_measures(spans, at)
    assert found.syllables == 5
    assert found.pauses == (1.0,), "0.1 s is a stop consonant"
    assert found.utterance_seconds == pytest.approx(4.0)
    assert found.speech_rate == pytest.approx(5 / 4.0)
    assert found.articulation_rate == pytest.approx(5 / 3.0)
    assert pace_measures((), at) is None


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
@pytest.mark.parametrize("words_per_minute", [120, 175, 260])
def test_sentences_of_26_syllables(words_per_minute, tmp_path):
    from merrflow_serving.media.audio import decode_audio

    text = "The quick brown fox jumps over the lazy dog. Why are you looking at me like this? I cannot believe it."
    path = tmp_path / "speech.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", str(words_per_minute), "-w", str(path), text], check=True)
    assert abs(nuclei(decode_audio(path)).size - 26) <= 3

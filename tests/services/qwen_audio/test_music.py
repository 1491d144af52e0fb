"""Music, and what only resembles it."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_qwen_audio.engines.acoustics.music import music_measures
from tests.services.qwen_audio import signals


@pytest.mark.parametrize("sound", [signals.chords(), signals.drums(), 0.02 * signals.chords()], ids=str)
def test_music(sound):
    assert music_measures(sound).is_music


def test_music_in_noise():
    assert music_measures(signals.mixed(signals.chords(), signals.noise(6.0), 10)).is_music


@pytest.mark.parametrize(
    "make",
    [
        signals.noise,
        signals.hum,
        signals.ticking,
        lambda: signals.tone(440.0, 4.0),
        lambda: signals.glide(300, 1200, 4.0),
        lambda: np.zeros(48_000, np.float32),
    ],
    ids=["noise", "hum", "clock", "steady tone", "siren", "zeros"],
)
def test_not_music(make):
    assert not music_measures(make()).is_music


def test_too_short_to_tell():
    assert music_measures(signals.chords(0.9)) is None

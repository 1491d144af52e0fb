"""The pitch that the page draws."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow.datasets.review.sound import pitch

RATE = 16_000


@pytest.mark.parametrize("hertz", [90.0, 120.0, 220.0, 400.0])
def test_a_voice_like_sound_has_its_pitch(hertz: float) -> None:
    time = np.arange(RATE) / RATE
    sound = sum(np.sin(2 * np.pi * hertz * n * time) / n for n in range(1, 12)) * 0.1
    found = [value for _, value in pitch(sound.astype(np.float32))]
    assert len(found) > 40
    assert np.median(found) == pytest.approx(hertz, rel=0.02)


def test_noise_and_silence_have_next_to_none() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, RATE).astype(np.float32)
    assert len(pitch(noise)) < 5
    assert pitch(np.zeros(RATE, np.float32)) == ()
    assert pitch(np.zeros(10, np.float32)) == ()

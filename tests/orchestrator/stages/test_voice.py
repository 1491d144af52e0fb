"""The level of the speech band, against signals whose level is known."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merrflow.stages.subject import load_subject_rules
from merrflow.stages.voice import SILENCE, has_voice, voice_energy, with_voice
from merrflow_serving.media.audio import decode_audio
from tests.orchestrator.formats.openface_csv import SHARED, shared_series

RULES = load_subject_rules().speaking


def tone(hertz: float, seconds: float = 1.0, amplitude: float = 1.0) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(16_000 * seconds)) / 16_000)).astype(np.float32)


def test_a_full_sine_in_the_band_has_3_db_below_full_scale() -> None:
    energy = voice_energy(tone(1000))
    assert len(energy) == 25
    assert set(energy[1:]) == {-3.0}
    assert set(voice_energy(tone(1000, amplitude=0.1))[1:]) == {-23.0}


@pytest.mark.parametrize("hertz", [50, 100, 6000, 7900])
def test_rumble_and_hiss_are_not_in_the_band(hertz: float) -> None:
    assert max(voice_energy(tone(hertz))[2:]) < -25


@pytest.mark.parametrize("hertz", [400, 1000, 3000])
def test_speech_is(hertz: float) -> None:
    assert min(voice_energy(tone(hertz))[2:]) > -5


def test_each_value_stands_for_its_40_milliseconds() -> None:
    audio = np.zeros(16_000, np.float32)
    audio[640 * 10 : 640 * 11] = tone(1000, 0.04)
    energy = voice_energy(audio)
    assert int(np.argmax(energy)) == 10
    assert max(energy[:10]) == SILENCE and max(energy[13:]) < -60


@pytest.mark.parametrize(("samples", "values"), [(0, 0), (1, 1), (639, 1), (640, 1), (641, 2), (16_000, 25)])
def test_the_last_piece_may_be_short(samples: int, values: int) -> None:
    assert len(voice_energy(tone(1000)[:samples])) == values


def test_a_short_last_piece_is_not_quieter_for_being_short() -> None:
    assert voice_energy(tone(1000)[: 640 * 3 + 160])[-1] == pytest.approx(-3, abs=0.1)


def test_silence_and_broken_samples() -> None:
    assert set(voice_energy(np.zeros(1600, np.float32))) == {SILENCE}
    assert set(voice_energy(np.full(1600, np.nan, np.float32))) == {SILENCE}
    with pytest.raises(ValueError, match=r"shape \(2, 100\)"):
        voice_energy(np.zeros((2, 100), np.float32))


@given(st.integers(0, 2**32 - 1), st.integers(1, 3000))
def test_values_are_plain_rounded_and_repeatable(seed: int, samples: int) -> None:
    audio = np.random.default_rng(seed).uniform(-1, 1, samples).astype(np.float32)
    energy = voice_energy(audio)
    assert energy == voice_energy(audio)
    assert all(type(value) is float and value == round(value, 1) and SILENCE <= value <= 1 for value in energy)


def test_speed() -> None:
    audio = np.random.default_rng(0).uniform(-1, 1, 16_000 * 60).astype(np.float32)
    voice_energy(audio)
    started = time.process_time()
    voice_energy(audio)
    assert time.process_time() - started < 0.5  # a minute of sound


def test_what_is_a_voice() -> None:
    speech = [-60.0, -25.0, -30.0, -60.0] * 10
    assert has_voice(speech, RULES)
    assert not has_voice(speech[:20], RULES)  # under a second
    assert not has_voice([value - 40 for value in speech], RULES)
    assert not has_voice([-20.0, -24.0, -28.0] * 20, RULES)
    assert not has_voice((), RULES)


def test_a_mouth_that_stands_still_or_is_not_there_moves_with_nothing() -> None:
    seconds = [i / 25 for i in range(100)]
    speech = [-60.0 + 35 * (i // 10 % 2) for i in range(100)]
    assert with_voice(seconds, [0.1] * 100, speech, RULES) == 0
    assert with_voice(seconds, [None] * 100, speech, RULES) == 0
    assert with_voice([], [], speech, RULES) == 0


@pytest.mark.parametrize("frames", range(1, 9))
def test_a_clip_of_a_frame_a_second_has_too_few_frames_to_tell_by(frames: int) -> None:
    speech = [-60.0 + 35 * (i // 10 % 2) for i in range(25 * frames)]
    assert with_voice(range(frames), [0.01 * (i * i % 7) for i in range(frames)], speech, RULES) == 0


@pytest.mark.parametrize("fps", [12.5, 25, 30, 50, 60])
def test_a_talking_mouth_is_known_at_any_frame_rate_and_through_gaps(fps: float) -> None:
    random = np.random.default_rng(3)
    strength = np.repeat(random.uniform(0, 1, 25) * (random.uniform(0, 1, 25) > 0.4), 5)  # 5 s in syllables of 0.2 s
    seconds = np.arange(round(5 * fps)) / fps
    at = np.interp(seconds, np.arange(125) / 25, strength)
    openings = [float(value) for value in 0.05 + 0.2 * at * (0.5 + 0.5 * np.sin(2 * np.pi * 5 * seconds))]
    energy = [float(value) for value in -60 + 35 * strength]
    whole = with_voice(seconds, openings, energy, RULES)
    assert whole > 0.25
    gappy = [None if 40 <= index * 25 / fps < 52 else value for index, value in enumerate(openings)]
    assert with_voice(seconds, gappy, energy, RULES) == pytest.approx(whole, abs=0.25)
    assert with_voice(seconds, openings[::-1], energy, RULES) < whole


SPEAKERS = {"sample_00000338": (672, 378), "sample_00000669": (720, 404), "sample_00002422": (768, 324)}


@pytest.mark.skipif(not (SHARED / "openface").is_dir(), reason="no OpenFace outputs in ../shared/openface")
@pytest.mark.skipif(not (SHARED / "clips").is_dir(), reason="no clips in ../shared/clips")
def test_real_speakers_move_with_their_own_voice_and_not_with_anothers() -> None:
    """Three television clips whose only person talks, by OpenFace's lips; each with the sound of each."""
    sounds = {name: voice_energy(decode_audio(SHARED / "clips" / f"{name}.mp4")) for name in SPEAKERS}
    for name, size in SPEAKERS.items():
        frames = [frame for frame in shared_series(name, *size).frames if frame.faces]
        seconds = [frame.timestamp for frame in frames]
        mouth = [frame.faces[0].mouth_opening for frame in frames]
        marks = {other: with_voice(seconds, mouth, sound, RULES) for other, sound in sounds.items()}
        assert marks.pop(name) > 0.3
        assert max(marks.values()) < 0.1

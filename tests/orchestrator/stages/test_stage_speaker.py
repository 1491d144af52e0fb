"""Of several persons, the one whose mouth moves with the voice."""

from __future__ import annotations

import re

import numpy as np
import pytest

from merrflow.core.faces import Face
from merrflow.stages import subject
from tests.orchestrator.stages.faces import face, frames_of, series, sound_of, talk


def chew(seed: int, frames: int = 100) -> np.ndarray:
    """A mouth that goes on and off at its own pace, 0 to 1 by frame: bites of random length and width, and rests."""
    random = np.random.default_rng(seed)
    bites: list[np.ndarray] = []
    while sum(map(len, bites)) < frames:
        length = int(random.integers(6, 16))
        bites.append(random.choice([0, 0.5, 1.0]) * np.sin(np.arange(length) * np.pi / length))
    return np.concatenate(bites)[:frames]


def mouth_of(level: np.ndarray, ahead: int = 2) -> np.ndarray:
    """The mouth's opening, some frames ahead of the sound."""
    return 0.02 + 0.25 * np.roll(level, -ahead)


def two(left: np.ndarray, right: np.ndarray) -> list[list[Face]]:
    return [[face(x=50, mouth=float(a)), face(x=350, mouth=float(b))] for a, b in zip(left, right, strict=True)]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("swapped", [False, True])
def test_of_two_alike_the_one_who_speaks_is_chosen(seed: int, swapped: bool) -> None:
    """One mouth moves with the voice, the other chews: as lively, but of its own accord."""
    voice, chewing = talk(seed), chew(seed)
    mouths = [mouth_of(voice), mouth_of(chewing)]
    made = series(two(*(mouths[::-1] if swapped else mouths)))
    chosen = subject.choose(made, voice_energy=sound_of(voice))
    assert {place for _, place in chosen.faces} == {int(swapped)}
    assert "mouth moves with the voice" in chosen.reason
    assert chosen.margin > 0


def unmarked(frames: list[list[Face]], sound: tuple[float, ...]) -> None:
    """Nobody gets a mark for speaking, so that all is as without sound."""
    with_sound = subject.choose(series(frames), voice_energy=sound)
    assert with_sound == subject.choose(series(frames))
    assert "voice" not in with_sound.reason


def test_silence_even_music_and_no_track_mark_nobody() -> None:
    frames = two(mouth_of(talk(1)), mouth_of(talk(2)))
    unmarked(frames, ())
    unmarked(frames, sound_of(talk(1) * 0))
    unmarked(frames, tuple(value - 40 for value in sound_of(talk(1))))  # far too quiet to be a voice
    music = -20 + 2 * np.sin(np.arange(100) / 6)
    unmarked(frames, tuple(float(value) for value in music))


def test_a_narrator_and_mouths_that_were_not_measured_mark_nobody() -> None:
    still = np.full(100, 0.03)
    unmarked(two(still, still), sound_of(talk(3)))
    unmarked([[face(x=50), face(x=350)] for _ in range(100)], sound_of(talk(3)))


def mark_of(mouth: np.ndarray, sound: tuple[float, ...]) -> float:
    """The mark for speaking, as the reason gives it."""
    reason = subject.choose(series([[face(mouth=float(opening))] for opening in mouth]), (), sound).reason
    found = re.search(r"mouth moves with the voice (\d\.\d\d)", reason)
    return float(found[1]) if found else 0.0


def test_a_narrator_over_moving_mouths_mostly_marks_nobody() -> None:
    """Mouths that move to something else: chance gives a mark now and then, and hardly ever one like the speaker's."""
    own = np.array([mark_of(mouth_of(talk(seed)), sound_of(talk(seed))) for seed in range(60)])
    other = np.array([mark_of(mouth_of(talk(seed)), sound_of(talk(seed + 500))) for seed in range(60)])
    assert own.min() > 0.7
    assert np.median(other) < 0.05 and other.mean() < 0.25
    assert np.mean(own > other) > 0.95


@pytest.mark.parametrize("ahead", [-2, 0, 2, 4])
def test_sound_and_picture_may_be_out_of_step(ahead: int) -> None:
    assert mark_of(mouth_of(talk(1), ahead), sound_of(talk(1))) > 0.7


def test_a_speaker_hidden_for_a_while_is_known_by_the_rest() -> None:
    """The speaker is covered for ten frames, the chewer never."""
    voice, chewing = talk(7), chew(7)
    frames = two(mouth_of(voice), mouth_of(chewing))
    frames = [row[1:] if 40 <= i < 50 else row for i, row in enumerate(frames)]
    heard = subject.choose(series(frames), voice_energy=sound_of(voice))
    assert frames_of(heard) == [*range(40), *range(50, 100)]
    assert frames_of(subject.choose(series(frames))) == list(range(100))  # without sound the longer seen one


def test_a_glimpse_is_too_short_to_tell_a_speaker() -> None:
    voice = talk(4)
    unmarked([[face(mouth=float(m))] for m in mouth_of(voice)[:20]], sound_of(voice)[:20])

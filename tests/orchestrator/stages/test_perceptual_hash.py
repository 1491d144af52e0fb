"""Hashes of pictures and sound: near for copies of a clip, far for other clips."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow.core.measurements import PerceptualHashes
from merrflow.datasets.curation.similarity import frame_distance, sound_difference
from merrflow.stages import perceptual_hash
from merrflow.stages.perceptual_hash import HashSampler, frame_hash, sound_hashes
from merrflow_serving.media.audio import SAMPLE_RATE, decode_audio
from merrflow_serving.media.video import iter_frames
from tests.orchestrator.datasets.curation.reencode import reencode
from tests.paths import ROOT

EXAMPLES = sorted((ROOT / "examples" / "clips").glob("*.mp4"))
REAL = sorted((ROOT / ".." / "shared" / "clips").glob("*.mp4"))
NEAR_FRAMES, NEAR_SOUND = 14.0, 0.3  # as in curation.yaml


@dataclass(frozen=True)
class Drawn:
    """A frame with a picture of its own; counts how often it is asked for."""

    timestamp: float
    asked: list[float]

    @property
    def small(self) -> np.ndarray:
        self.asked.append(self.timestamp)
        return np.random.default_rng(len(self.asked)).integers(0, 255, (90, 160, 3), np.uint8)


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose bands rise and fall, as speech's do."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    parts = [
        np.sin(2 * np.pi * hertz * time + rng.uniform(0, 6)) * (1 + np.sin(2 * np.pi * rng.uniform(1, 5) * time))
        for hertz in rng.uniform(300, 2000, 40)
    ]
    return (np.sum(parts, axis=0) / 200 + rng.normal(0, 0.002, time.size)).astype(np.float32)


def of(path: Path) -> PerceptualHashes:
    sampler = HashSampler()
    for frame in iter_frames(path):
        sampler.add(frame)
    return sampler.finish(decode_audio(path))


def apart(one: PerceptualHashes, other: PerceptualHashes) -> tuple[float, float]:
    """Bits of 64 by which pictures differ, share of bits by which sound does."""
    frames = [np.array([int(word, 16) for word in like.frames], np.uint64) for like in (one, other)]
    sounds = [np.array([int(word or "0", 16) for word in like.sound], np.uint32) for like in (one, other)]
    pair = np.array([[0, 1]])
    return float(frame_distance(frames, pair)[0]), float(sound_difference(sounds, pair, 0.7)[0])


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 900), fps=st.sampled_from([5.0, 12.5, 23.976, 25.0, 30.0, 60.0]))
def test_frames_are_evenly_spaced_whatever_the_length(count: int, fps: float) -> None:
    asked: list[float] = []
    sampler = HashSampler()
    for index in range(count):
        sampler.add(Drawn(index / fps, asked))  # type: ignore[arg-type]
    kept = [sample.timestamp for sample in sampler._samples]
    assert len(sampler.finish(None).frames) == len(kept) <= perceptual_hash.MOST_FRAMES
    assert kept[0] == 0.0
    last = (count - 1) / fps
    if last >= 2 * perceptual_hash.FRAME_SECONDS:
        assert len(kept) >= min(perceptual_hash.MOST_FRAMES // 2, int(last / perceptual_hash.FRAME_SECONDS))
        gaps = np.diff(kept)
        assert gaps.max() - gaps.min() <= 2 / fps + 1e-9
        assert last - kept[-1] <= gaps.max() + 2 / fps
    assert len(asked) <= 8 * perceptual_hash.MOST_FRAMES  # most frames are never scaled


def test_a_flat_picture_has_no_hash() -> None:
    assert frame_hash(np.zeros((54, 96, 3), np.uint8)) == ""
    assert frame_hash(np.full((54, 96, 3), 255, np.uint8)) == ""
    assert len(frame_hash(np.random.default_rng(0).integers(0, 255, (54, 96, 3), np.uint8))) == 16


@pytest.mark.parametrize("audio", [np.zeros(48_000, np.float32), np.zeros(0, np.float32), voice(0.3)])
def test_silence_and_too_short_a_sound_have_no_hash(audio: np.ndarray) -> None:
    assert sound_hashes(audio) == ()


def test_no_sound_track_has_no_hash() -> None:
    assert HashSampler().finish(None) == PerceptualHashes((), ())


def test_silent_pieces_keep_their_place() -> None:
    sound = np.concatenate([voice(2), np.zeros(2 * SAMPLE_RATE, np.float32), voice(2, 1)])
    hashes = sound_hashes(sound)
    silent = [index for index, word in enumerate(hashes) if not word]
    assert silent and silent == list(range(silent[0], silent[-1] + 1))
    assert 2.0 - 0.4 <= silent[0] * perceptual_hash.HOP / SAMPLE_RATE <= 2.2


@pytest.mark.parametrize("gain", [0.05, 3.0])
def test_loudness_changes_no_hash(gain: float) -> None:
    same = [a == b for a, b in zip(sound_hashes(voice(3)), sound_hashes(voice(3) * np.float32(gain)), strict=True)]
    assert np.mean(same) > 0.9  # rounding may turn a bit here and there


@pytest.mark.parametrize("cut", [0.2, 0.224])  # 0.224 s: three and a half hops, the worst case
def test_a_cut_sound_is_near_and_another_is_far(cut: float) -> None:
    whole = PerceptualHashes((), sound_hashes(voice(3)))
    assert apart(whole, PerceptualHashes((), sound_hashes(voice(3)[int(cut * SAMPLE_RATE) :])))[1] < NEAR_SOUND
    assert apart(whole, PerceptualHashes((), sound_hashes(voice(3, seed=5))))[1] > 0.4


def test_a_copy_of_an_example_is_near_and_the_others_are_far(tmp_path: Path) -> None:
    first, *others = EXAMPLES
    original = of(first)
    frames, sound = apart(original, of(reencode(first, tmp_path / "copy.mp4")))
    assert frames < 6 and sound < 0.2
    for other in others:
        frames, sound = apart(original, of(other))
        assert frames > 20 and sound > 0.4


@pytest.mark.skipif(not REAL, reason="the research clips are not here")
def test_real_clips_are_far_from_each_other_and_near_their_copies(tmp_path: Path) -> None:
    found = [of(path) for path in REAL]
    for one, other in combinations(found, 2):
        frames, sound = apart(one, other)
        assert frames > NEAR_FRAMES + 6 and sound > NEAR_SOUND + 0.1
    shortest = min(range(len(REAL)), key=lambda index: REAL[index].stat().st_size)
    frames, sound = apart(found[shortest], of(reencode(REAL[shortest], tmp_path / "copy.mp4")))
    assert frames < 6 and sound < 0.2


@pytest.mark.skipif(not REAL, reason="the research clips are not here")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_two_halves_of_a_shot_look_alike_but_sound_apart(path: Path) -> None:
    """Why pictures alone never make a copy where there is sound to compare."""
    whole = of(path)
    half, sound = len(whole.frames) // 2, len(whole.sound) // 2
    first = PerceptualHashes(whole.frames[:half], whole.sound[:sound])
    second = PerceptualHashes(whole.frames[half:], whole.sound[sound:])
    looks, sounds = apart(first, second)
    assert looks < NEAR_FRAMES
    assert sounds > 0.4


def test_frames_that_are_dropped_again_are_never_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    monkeypatch.setattr(perceptual_hash, "frame_hash", lambda image: hashed.append(1) or frame_hash(image))
    sampler = HashSampler()
    for index in range(25 * 60):
        sampler.add(Drawn(index / 25, []))  # type: ignore[arg-type]
    assert len(sampler.finish(None).frames) == len(hashed) <= perceptual_hash.MOST_FRAMES

"""Sound is on the picture's time, whatever the clocks in the file do."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
import pytest

from merrflow_serving.errors import TooLarge
from merrflow_serving.media.audio import SAMPLE_RATE, AudioCollector, decode_audio, read_sound
from merrflow_serving.media.sound_clock import SoundClock
from tests.services.serving.sounds import Piece, Track, burst, clip, onset

PICTURE = [index / 25 for index in range(50)]
FORMS = [
    ("matroska", "pcm_s16le", "mjpeg"),
    ("matroska", "aac", "mjpeg"),
    ("mp4", "aac", "libx264"),
    ("mov", "pcm_s16le", "libx264"),
    ("mpegts", "aac", "libx264"),
]


def seconds(samples: np.ndarray) -> float:
    return samples.size / SAMPLE_RATE


@pytest.mark.parametrize(("form", "codec", "pictures"), FORMS)
@pytest.mark.parametrize(
    ("sound", "picture"), [(0, 0), (0.75, 0), (0, 0.4), (-0.3, 0), (0.023, 0.046), (5, 5.4), (7, 5)]
)
def test_either_track_may_begin_later(form, codec, pictures, sound, picture):
    track = Track([Piece(sound, burst(2, at=1)[None])], codec=codec)
    data = clip(track, form=form, picture=[time + picture for time in PICTURE], codec=pictures)
    samples = decode_audio(data, max_seconds=60)
    assert onset(samples) == pytest.approx(1 + sound - picture, abs=0.003)
    assert seconds(samples) == pytest.approx(2 + sound - picture, abs=0.05)  # sound may outlast the picture


def test_sound_without_pictures_begins_at_its_own_beginning():
    assert onset(decode_audio(clip(Track([Piece(5, burst(2, at=1)[None])])))) == pytest.approx(1, abs=0.001)


def heard(pieces: Sequence[tuple[float | None, float]], **options) -> tuple[np.ndarray, str]:
    """Pieces of a time and a length, each beginning with a burst of 0.1 s."""
    track = Track([Piece(time, burst(long, long=0.1)[None]) for time, long in pieces])
    found = read_sound(clip(track, picture=PICTURE), max_seconds=60, origin=0.0, **options)
    return found.samples, found.note


def bursts(samples: np.ndarray) -> list[float]:
    """Seconds at which a tone begins after silence."""
    loud = np.abs(samples).reshape(-1)[: samples.size // 160 * 160].reshape(-1, 160).max(axis=1) > 0.1
    return [float(place) / 100 for place in np.flatnonzero(loud & ~np.r_[False, loud[:-1]])]


@pytest.mark.parametrize("gap", [0.06, 0.5, 3.0, 25.0])
def test_gaps_are_silent(gap):
    samples, note = heard([(0.0, 1.0), (1.0 + gap, 1.0)])
    assert bursts(samples) == pytest.approx([0, 1 + gap], abs=0.011)
    assert seconds(samples) == pytest.approx(2 + gap, abs=0.002)
    assert not samples[round(0.2 * SAMPLE_RATE) : round((0.99 + gap) * SAMPLE_RATE)].any()
    assert note == f"gaps of {gap:.2f} s are silent"


def collected(pieces: Sequence[tuple[float, np.ndarray]], *, joined: bool = False) -> np.ndarray:
    """Frames with these times, which may go back; few formats can be written so."""
    collector = AudioCollector(60.0, joined=joined)
    for time, samples in pieces:
        for start in range(0, samples.size, 320):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 320], format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
            frame.pts = round(time * SAMPLE_RATE) + start
            collector.add(frame)
    return collector.finish()


@pytest.mark.parametrize("overlap", [0.06, 0.4, 0.9])
def test_overlaps_are_cut(overlap):
    samples = collected([(0.0, burst(1)), (1 - overlap, burst(2, at=1))])
    assert bursts(samples) == pytest.approx([0, 2 - overlap], abs=0.011)
    assert seconds(samples) == pytest.approx(3 - overlap, abs=0.002)


def test_packets_that_come_twice_are_heard_once():
    whole = burst(2, long=2)
    parts = [(start / SAMPLE_RATE, whole[start : start + 1600]) for start in range(0, whole.size, 1600)]
    samples = collected([part for part in parts for _ in range(2)])
    assert abs(samples.size - whole.size) <= 20
    assert np.abs(samples - whole[: samples.size]).max() < 1e-3


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("wrong", [-3.0, -0.3, 0.3, 3.0, 1e6])
def test_one_frame_with_a_wrong_time_moves_nothing(wrong, joined):
    whole = burst(2, long=2)
    parts = [(start / SAMPLE_RATE, whole[start : start + 320]) for start in range(0, whole.size, 320)]
    parts[40] = (parts[40][0] + wrong, parts[40][1])
    parts[-1] = (parts[-1][0] + wrong, parts[-1][1])
    samples = collected(parts, joined=joined)
    assert samples.size == whole.size and np.abs(samples - whole).max() < 1e-3


def test_uneven_times_are_no_gaps():
    random = np.random.default_rng(0)
    whole = burst(4, at=0, long=4)
    pieces = [Piece(0.0, whole[None, :320])]
    pieces += [
        Piece(start / SAMPLE_RATE + random.uniform(-0.015, 0.015), whole[None, start : start + 320])
        for start in range(320, whole.size, 320)
    ]
    found = read_sound(clip(Track(pieces), picture=PICTURE), origin=0.0)
    assert found.note == "" and abs(found.samples.size - whole.size) <= 1
    assert np.abs(found.samples - whole[: found.samples.size]).max() < 1e-3


@pytest.mark.parametrize(("jump", "joined"), [(-30.0, False), (-1.5, False), (1e4, False), (-0.5, True), (12.0, True)])
def test_a_clock_that_is_set_back_or_jumps_away_goes_on(jump, joined):
    samples = collected([(0.0, burst(1)), (1.0 + jump, burst(1))], joined=joined)
    assert bursts(samples) == pytest.approx([0, 1], abs=0.011)
    assert seconds(samples) == pytest.approx(2, abs=0.002)


@pytest.mark.parametrize("base", [0.0, 40.0])
def test_joined_recordings_follow_each_other(base):
    """As `cat one.ts two.ts`, each with its own clock."""

    def part(start: float) -> bytes:
        track = Track([Piece(start, burst(1.024, at=0.5)[None])], codec="aac")
        return clip(track, form="mpegts", picture=[start + time for time in PICTURE[:25]], codec="libx264")

    samples = decode_audio(part(3.0) + part(base), max_seconds=60)
    assert seconds(samples) == pytest.approx(2.1, abs=0.15)
    first, second = bursts(samples)
    assert first == pytest.approx(0.5, abs=0.02) and second == pytest.approx(1.55, abs=0.1)


def test_sound_that_nowhere_meets_the_picture_begins_with_it():
    for sound, picture in ((0.0, 30.0), (5000.0, 0.0)):
        track = Track([Piece(sound, burst(2, at=1)[None])])
        data = clip(track, picture=[time + picture for time in PICTURE])
        found = read_sound(data, max_seconds=60, origin=picture)
        assert onset(found.samples) == pytest.approx(1, abs=0.003)
        assert "nothing in common" in found.note


def test_damaged_packets_cost_their_sound_alone():
    whole = burst(4, long=4)
    data = bytearray(clip(Track([Piece(0.0, whole[None])], codec="flac"), picture=PICTURE))
    places = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xf8"]
    middle = places[len(places) // 2]
    data[middle : middle + 40] = bytes(40)
    found = read_sound(bytes(data), origin=0.0)
    assert "damaged packets of sound left out: 1" in found.note and "are silent" in found.note
    assert abs(found.samples.size - whole.size) <= 2
    missing = np.abs(found.samples - whole[: found.samples.size]) > 1e-2
    assert 0 < missing.sum() < 0.4 * SAMPLE_RATE and not missing[-SAMPLE_RATE:].any()


def test_silence_counts_towards_the_limit_before_it_is_made():
    pieces = [(10.0 * number, 0.1) for number in range(20)]
    with pytest.raises(TooLarge, match="longer than 60 seconds"):
        heard(pieces)
    track = Track([Piece(50.0, burst(20)[None])])
    with pytest.raises(TooLarge, match="longer than 60 seconds"):
        read_sound(clip(track, picture=PICTURE), max_seconds=60, origin=0.0)


def test_frames_without_times_go_on_by_their_samples():
    clock = SoundClock(longest_gap=60)
    assert [clock.place(None, 0.02) for _ in range(5)] == [None] * 5
    assert clock.place(2.1, 0.02) is None
    assert clock.start == pytest.approx(2.0)
    assert clock.place(None, 0.02) is None and clock.place(2.14, 0.02) is None
    assert clock.place(3.0, 0.02) == pytest.approx(1.0)


def test_a_slow_clock_is_followed():
    """Sound that runs 1 % fast against its times for 20 s is never more than a picture away from them."""
    clock, at = SoundClock(longest_gap=60), 0.0
    for number in range(1000):
        begin = clock.place(number * 0.0202, 0.02)
        at = number * 0.0202 if begin is not None else at
        assert abs(at - number * 0.0202) <= 0.0401
        at += 0.02

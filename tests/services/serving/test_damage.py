"""A damaged packet costs its frames, not the film; and everyone counts the same frames."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_serving.errors import UnreadableMedia
from merrflow_serving.media.audio import decode_audio
from merrflow_serving.media.video import iter_frames, read_frames
from tests.services.serving.odd_containers import damaged, encoded


def film(count: int = 48) -> bytes:
    source = np.random.default_rng(5)
    small = source.integers(0, 255, (8, 12, 3)).astype(np.uint8)
    large = np.kron(small, np.ones((16, 16, 1), np.uint8))
    return encoded(np.roll(large, index, axis=1) for index in range(count))


PLACES = [(5, 1), (12, 3), (20, 9), (0, 2), (46, 2), (40, 8)]


@pytest.mark.parametrize(("first", "count"), PLACES)
def test_the_rest_is_decoded_the_same_with_any_number_of_threads(first, count):
    source = damaged(film(), first, count)
    seen = []
    for threads in (1, 2, 0, 16):
        lost: list[int] = []
        frames = list(iter_frames(source, threads=threads, on_damage=lambda lost=lost: lost.append(1)))
        times = [frame.timestamp for frame in frames]
        assert times == sorted(set(times))
        seen.append((times, len(lost), [frame.is_damaged for frame in frames]))
    assert all(other == seen[0] for other in seen[1:])
    times, lost, _ = seen[0]
    assert 48 - 12 - count <= len(times) < 48 and 1 <= lost <= count
    last = len(times) - 1
    assert read_frames(source, {last})[last].timestamp == times[last]


def test_a_whole_film_has_no_damage():
    lost: list[int] = []
    frames = list(iter_frames(film(), on_damage=lambda: lost.append(1)))
    assert len(frames) == 48 and not lost and not any(frame.is_damaged for frame in frames)


def test_nothing_but_damage_is_no_film():
    with pytest.raises(UnreadableMedia, match="cut off"):
        list(iter_frames(damaged(film(), 0, 48)))


def test_there_is_an_end_to_it(monkeypatch):
    monkeypatch.setattr("merrflow_serving.media.decoding.MOST_DAMAGE", 3)
    with pytest.raises(UnreadableMedia, match="more than 3 packets of the file are damaged"):
        list(iter_frames(damaged(film(), 20, 20)))


def test_damaged_pictures_cost_no_sound(tmp_path):
    from tests.services.serving.odd_containers import Track, many_tracks

    whole = many_tracks(tmp_path / "whole.mp4", [Track(40, (192, 128), grey=90)]).read_bytes()
    heard = {
        name: decode_audio(source).tolist() for name, source in (("whole", whole), ("spoiled", damaged(whole, 15, 4)))
    }
    assert heard["spoiled"] == heard["whole"] and heard["whole"]

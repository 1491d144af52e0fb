"""Distances of many pairs at once are those of one pair at a time, and likely pairs miss no near ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow.datasets.curation import likely_pairs as module
from merrflow.datasets.curation.likely_pairs import likely_pairs
from merrflow.datasets.curation.similarity import FEWEST_PIECES, frame_distance, sound_difference

words64 = st.lists(st.integers(0, 2**64 - 1), max_size=5).map(lambda row: np.array(row, np.uint64))
# few values and some silence, so that rows do match
words32 = st.lists(st.sampled_from([0, 1, 3, 0xFFFFFFFF, 0xF0F0F0F0]), max_size=14).map(
    lambda row: np.array(row, np.uint32)
)


@settings(max_examples=80, deadline=None)
@given(st.lists(words64, min_size=2, max_size=4))
def test_frame_distance_is_the_mean_to_the_nearest(rows: list[np.ndarray]) -> None:
    pairs = np.array([(i, j) for i in range(len(rows)) for j in range(len(rows))])
    for (i, j), found in zip(pairs, frame_distance(rows, pairs), strict=True):
        a, b = rows[i].tolist(), rows[j].tolist()
        if not a or not b:
            assert np.isnan(found)
            continue
        plain = _mean_nearest(a, b)
        mirrored = _mean_nearest(a, [word ^ 0x5555555555555555 for word in b])
        assert np.isclose(found, min(plain, mirrored) if mirrored <= 6 else plain)


@settings(max_examples=80, deadline=None)
@given(st.lists(words32, min_size=2, max_size=4))
def test_sound_difference_is_the_best_overlay(rows: list[np.ndarray]) -> None:
    pairs = np.array([(i, j) for i in range(len(rows)) for j in range(len(rows))])
    for (i, j), found in zip(pairs, sound_difference(rows, pairs, 0.7), strict=True):
        heard = [int((rows[k] != 0).sum()) for k in (i, j)]
        if min(heard) < FEWEST_PIECES:
            assert np.isnan(found)
            continue
        shares = [0.5]
        for shift in range(-14, 15):
            both = [
                (int(a), int(rows[j][k - shift]))
                for k, a in enumerate(rows[i])
                if 0 <= k - shift < len(rows[j]) and a and rows[j][k - shift]
            ]
            if len(both) >= max(0.7 * min(heard), FEWEST_PIECES):
                shares.append(sum((a ^ b).bit_count() for a, b in both) / (32 * len(both)))
        # all overlays are tried here; the function tries those that can cover enough
        assert min(shares) - 1e-9 <= found <= 0.5
        if i == j:
            assert found == 0


def test_a_shifted_sound_is_found_at_its_shift() -> None:
    sound = np.random.default_rng(0).integers(1, 2**32, 60, np.uint32)
    pairs = np.array([[0, 1], [1, 0]])
    for shift in range(18):
        assert sound_difference([sound, sound[shift:]], pairs, 0.7).tolist() == [0, 0]
        assert sound_difference([sound, sound[: 60 - shift]], pairs, 0.7).tolist() == [0, 0]


def test_more_pairs_than_a_batch() -> None:
    rows = [np.array([value], np.uint64) for value in range(100)]
    pairs = np.array([(i, j) for i in range(100) for j in range(100)])
    expected = [(i ^ j).bit_count() for i, j in pairs.tolist()]
    assert frame_distance(rows, pairs).tolist() == expected


def test_likely_pairs_find_what_shares_pictures_sound_or_text() -> None:
    rng = np.random.default_rng(1)
    count = 400
    frames = [rng.integers(0, 2**63, 6, np.uint64) for _ in range(count)]
    sounds = [rng.integers(1, 2**32, 20, np.uint32) for _ in range(count)]
    texts = [f"text {index}" for index in range(count)]
    frames[10] = np.concatenate([frames[11][:1] ^ np.uint64(0b111), frames[10]])
    sounds[20] = np.concatenate([sounds[20], sounds[21][3:4]])
    texts[30] = texts[31]
    frames[40], seconds = frames[41], np.full(count, 3.0)
    seconds[40] = 1.0  # too short to be a copy
    sounds[50] = sounds[51] = np.zeros(20, np.uint32)  # silence is no sound that they share
    found = {tuple(pair) for pair in likely_pairs(frames, sounds, texts, seconds, 0.7).tolist()}
    assert {(10, 11), (20, 21), (30, 31)} <= found
    assert not found & {(40, 41), (50, 51)}
    assert len(found) < 20  # not all pairs


def test_very_many_that_share_a_picture_do_not_make_all_pairs() -> None:
    """A title card in every clip."""
    rng = np.random.default_rng(2)
    count = 1000
    card = rng.integers(0, 2**63, 1, np.uint64)
    frames = [np.concatenate([card, rng.integers(0, 2**63, 3, np.uint64)]) for _ in range(count)]
    frames[7] = frames[990]
    nothing = [np.zeros(0, np.uint32)] * count
    pairs = likely_pairs(frames, nothing, [""] * count, np.full(count, 3.0), 0.7)
    assert [7, 990] in pairs.tolist()
    assert len(pairs) <= count * module.NEIGHBOURS * 1.1


def _mean_nearest(a: list[int], b: list[int]) -> float:
    nearest = [min((x ^ y).bit_count() for y in b) for x in a] + [min((x ^ y).bit_count() for x in a) for y in b]
    return sum(nearest) / len(nearest)

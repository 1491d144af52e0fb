"""Tracks of one clip are joined by how the face looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merrflow.core.faces import Face
from merrflow.core.measurements import Shot
from merrflow.stages import subject
from merrflow.stages.looks import Look, look_of, same_person
from merrflow.stages.tracks import Track
from tests.orchestrator.stages.faces import face, series

ANNA, BEN = (1.0, 0.0), (0.0, 1.0)


def seen(look: tuple[float, ...], x: float = 100, yaw: float = 0.0) -> Face:
    return replace(face(x=x, yaw=yaw), embedding=look)


def test_a_person_who_returns_in_another_place_is_the_same() -> None:
    clip = series([[seen(ANNA)]] * 20 + [[seen(BEN)]] * 10 + [[seen(ANNA, x=400, yaw=60)]] * 20)
    chosen = subject.choose(clip, (Shot(0, 20), Shot(20, 30), Shot(30, 50)))
    assert [frame for frame, _ in chosen.faces] == [*range(20), *range(30, 50)]
    assert chosen.persons == 2
    assert "recognised by the face within this clip, in 2 shots" in chosen.reason


def test_false_cuts_cost_nothing() -> None:
    clip = series([[seen(ANNA, x=100 + 4 * index)] for index in range(60)])
    chosen = subject.choose(clip, tuple(Shot(start, start + 5) for start in range(0, 60, 5)))
    assert len(chosen.faces) == 60


def test_another_person_in_the_same_place_stays_another() -> None:
    clip = series([[seen(ANNA)]] * 20 + [[seen(BEN)]] * 15)
    assert subject.choose(clip, (Shot(0, 20), Shot(20, 35))).persons == 2


def test_two_who_are_in_view_together_are_two_however_alike() -> None:
    clip = series([[seen(ANNA, x=50), seen(ANNA, x=400)]] * 20)
    assert subject.choose(clip).persons == 2


def test_frontal_faces_count_more_than_profiles() -> None:
    look = look_of([seen(ANNA), seen(BEN, yaw=85)])
    assert look is not None
    assert look.distance(Look(np.array(ANNA), 1.0)) < 0.1


def test_without_embeddings_there_is_no_look() -> None:
    assert look_of([face(), face()]) is None


vectors = st.tuples(st.integers(0, 10), st.integers(0, 10)).map(lambda at: Look(np.array(at) / 10, 1.0))
tracks = st.lists(st.tuples(st.frozensets(st.integers(0, 12), min_size=1), st.none() | vectors), max_size=7)


@given(tracks)
def test_each_track_is_in_one_group_and_none_in_view_together_are_joined(
    found: list[tuple[frozenset[int], Look | None]],
) -> None:
    groups = same_person(found, 0.4)
    assert sorted(place for group in groups for place in group) == list(range(len(found)))
    for group in groups:
        assert sum(len(found[place][0]) for place in group) == len(frozenset().union(*(found[p][0] for p in group)))
        assert len(group) == 1 or all(found[place][1] is not None for place in group)


distinct = st.lists(st.floats(0, 3, width=32), min_size=1, max_size=7, unique=True)


@given(distinct, st.randoms())
def test_the_order_of_tracks_does_not_matter(values: list[float], random) -> None:
    found = [(frozenset({place}), Look(np.array([value, value**2]), 1.0)) for place, value in enumerate(values)]
    order = list(range(len(found)))
    random.shuffle(order)
    again = same_person([found[place] for place in order], 0.4)
    named = {frozenset(order[place] for place in group) for group in again}
    assert named == {frozenset(group) for group in same_person(found, 0.4)}


def test_a_tracks_look_is_that_of_all_its_faces_so_far():
    track = Track()
    for place, one in enumerate([seen(ANNA), seen(BEN), seen(BEN)]):
        track.add(place, 0, one)
        whole = look_of(track.measured)
        assert track.look is not None and whole is not None and track.look.distance(whole) == pytest.approx(0)

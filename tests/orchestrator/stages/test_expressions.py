"""The expression network's shares of the subject."""

from __future__ import annotations

from dataclasses import replace

import pytest

from merrflow.core.faces import Face
from merrflow.core.measurements import Subject
from merrflow.stages.expressions import expressiveness, mean_shares
from tests.orchestrator.stages.faces import face, series


def judged(neutral: float) -> Face:
    return replace(face(), expression={"neutral": neutral, "happy": 1 - neutral})


def subject(frames: int, place: int = 0) -> Subject:
    return Subject(tuple((index, place) for index in range(frames)), 1, 1.0, "")


def test_shares_are_means_over_the_judged_frames_of_the_subject_alone() -> None:
    clip = series([[judged(0.0), judged(0.9)], [face(), face()], [judged(0.0), judged(0.5)]])
    assert mean_shares(clip, subject(3, 1)) == pytest.approx({"neutral": 0.7, "happy": 0.3})


def test_without_judgements_there_is_nothing() -> None:
    clip = series([[face()]] * 3)
    assert mean_shares(clip, subject(3)) == {}
    assert expressiveness(clip, subject(3)) == {}


def test_a_single_judgement_does_not_make_a_peak() -> None:
    clip = series([[judged(0.0 if index == 4 else 0.8) if index % 2 == 0 else face()] for index in range(30)])
    curve = expressiveness(clip, subject(30))
    assert set(curve) == set(range(30))  # frames between two judged ones have a value too
    assert curve[29] == pytest.approx(0.2)
    assert 0.2 < max(curve.values()) < 0.6


def test_frames_far_from_a_judgement_have_no_value() -> None:
    clip = series([[judged(0.5) if index == 0 else face()] for index in range(20)])
    assert expressiveness(clip, subject(20)) == pytest.approx({index: 0.5 for index in range(6)})

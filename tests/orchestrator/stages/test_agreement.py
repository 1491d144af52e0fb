"""How far two engines agree, on answers whose agreement is plain."""

from __future__ import annotations

import pytest

from merrflow.core.faces import Face, FaceFrame
from merrflow.core.labels import LabelScores
from merrflow.core.measurements import ActionUnitSeries, Peak, Subject
from merrflow.core.spoken import Transcript
from merrflow.core.texts import Tone
from merrflow.stages.agreement import agreement, at_peak
from merrflow.stages.claims.rules import RuleJudge
from merrflow.stages.text_agreement import TextAgreement

BOX = (10.0, 10.0, 40.0, 40.0)
ELSEWHERE = (80.0, 10.0, 40.0, 40.0)


def face(present: str, intensity: dict[str, float], box: tuple[float, float, float, float] = BOX) -> Face:
    return Face(box, 0.9, 0.0, 0.0, 0.0, intensity, frozenset(present.split()))


def series(*faces: tuple[Face, ...], measurable: tuple[str, ...] = ("AU06", "AU12", "AU25")) -> ActionUnitSeries:
    return ActionUnitSeries(96, 64, 25.0, measurable, tuple(FaceFrame(n, n / 25, one) for n, one in enumerate(faces)))


def units(own: ActionUnitSeries, other: ActionUnitSeries):
    subject = Subject(tuple((n, 0) for n in range(len(own.frames))), 1, 1.0, "")
    return agreement("action_units", {"action_units": own, "subject": subject}, other)


SMILES = series(*((face("AU06 AU12", {"AU06": n / 4, "AU12": n / 2, "AU25": 0.1}),) for n in range(8)))


def test_the_same_action_units_agree():
    measured, why = units(SMILES, SMILES)
    assert (measured, why) == ({"f1_present": 1.0, "r_intensity": 1.0}, "")


def test_the_face_is_found_by_its_place_and_other_faces_do_not_count():
    other = series(*((face("AU04", {"AU04": 5.0}, ELSEWHERE), one.faces[0]) for one in SMILES.frames))
    assert units(SMILES, other)[0]["f1_present"] == 1.0
    assert units(SMILES, series(*((face("AU12", {}, ELSEWHERE),) for _ in range(8)))) == (
        {},
        "it does not see the subject's face",
    )


def test_units_that_one_engine_does_not_measure_are_no_disagreement():
    own = series((face("AU06 AU12", {}),))
    assert units(own, series((face("AU12", {}),), measurable=("AU12",)))[0] == {"f1_present": 1.0}
    assert units(own, series((face("AU01", {}),), measurable=("AU01",)))[1] == "no Action Unit is measured by both"


def test_present_in_one_alone_is_disagreement():
    own, other = series((face("AU06 AU12", {}),)), series((face("AU06 AU25", {}),))
    assert units(own, other)[0] == {"f1_present": 0.5}
    assert units(own, series((face("", {}),)))[0] == {"f1_present": 0.0}
    nothing = series((face("", {}),))
    assert units(nothing, nothing)[0] == {"f1_present": 1.0}


def test_a_shorter_series_is_compared_where_it_has_frames():
    assert units(SMILES, series((face("AU06 AU12", {}),)))[0] == {"f1_present": 1.0}


def test_a_record_keeps_the_units_at_the_peak_alone():
    peak = Peak(3, 0.12, ("AU06",), {}, ("AU06",), 1.0, "", 0.9, BOX)
    kept = at_peak(SMILES, peak)
    assert kept["peak"] == {"present": ["AU06", "AU12"], "intensity": {"AU06": 0.75, "AU12": 1.5, "AU25": 0.1}}
    assert at_peak(series(()), peak)["peak"] is None


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ({"happy": 1.0}, {"happy": 1.0}, {"jensen_shannon": 1.0, "same_label": 1.0}),
        ({"happy": 1.0, "sad": 0.0}, {"happy": 0.0, "sad": 1.0}, {"jensen_shannon": 0.0, "same_label": 0.0}),
        ({"happy": 0.5, "sad": 0.5}, {"happy": 1.0}, {"jensen_shannon": 0.6887, "same_label": 1.0}),
    ],
)
def test_labels(one, two, expected):
    assert agreement("score_all", {"score_all": LabelScores(one)}, LabelScores(two)) == (expected, "")
    assert agreement("score_all", {"score_all": LabelScores(two)}, LabelScores(one))[0] == expected  # either way


def heard(text: str, language: str = "en") -> Transcript:
    return Transcript(text, language, 0.9, ())


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (heard("Good news!"), heard("good news"), {"one_less_wer": 1.0}),
        (heard("I don't know"), heard("I dont know you"), {"one_less_wer": 0.6667}),
        (heard("one two"), heard("three four five six"), {"one_less_wer": 0.0}),
        (heard(""), heard(""), {"one_less_wer": 1.0}),
        (heard(""), heard("hello"), {"one_less_wer": 0.0}),
        (heard("今天很好。", "zh"), heard("今天不好", "zh"), {"one_less_cer": 0.75}),
    ],
)
def test_words(one, two, expected):
    assert agreement("transcript", {"transcript": one}, two) == (expected, "")


def test_without_an_answer_of_the_main_engine_nothing_is_measured():
    assert agreement("tone", {"tone": None}, Tone("Calm.", "speech", {}, ())) == ({}, "the main engine has no answer")


def test_texts_that_tell_of_different_things_neither_agree_nor_disagree():
    assert TextAgreement(3, 1, 4, "rules").measured == ({"entailment_rules": 0.75}, "")
    measured, why = TextAgreement(0, 0, 4, RuleJudge().name).measured
    assert measured == {} and "tell of different things (4 claims" in why

"""Which frame the picture shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from merrflow.core.faces import Face
from merrflow.core.measurements import Peak, Probe, Shot, Subject
from merrflow.facs import load_rules
from merrflow.stages.shown import Choice, choose, find
from tests.orchestrator.stages.faces import face, series

RULES = load_rules("default").peak
PICTURE = RULES.picture
assert PICTURE
PEAK = 30
BLINK = face(present=["AU45"])


def judged(expressive: float, one: Face) -> Face:
    return replace(one, expression={"neutral": 1 - expressive, "sad": expressive})


def found(expressive: dict[int, float], faces: dict[int, Face] | None = None, cut: int = 0, rules=RULES) -> Choice:
    """60 frames at 25 a second; `expressive` and `faces` hold for two frames to either side of those named."""

    def at(number: int, values: dict):
        return next((value for key, value in values.items() if abs(key - number) <= 2), None)

    frames = [[judged(at(n, expressive) or 0.0, at(n, faces or {}) or face())] for n in range(60)]
    shots = (Shot(0, cut), Shot(cut, 60)) if cut else (Shot(0, 60),)
    probe = Probe(640, 360, 25.0, 60, 2.4, shots, None)
    subject = Subject(tuple((index, 0) for index in range(60)), 1, 1.0, "")
    return find(series(frames), subject, probe, Peak(PEAK, PEAK / 25, (), {}, (), 0.0, ""), rules)


def shown(choice: Choice, sharpness: dict[int, float] | None = None) -> int:
    sharp = {one.index: (sharpness or {}).get(one.index, 100.0) for one in choice.candidates}
    one = choose(choice, sharp, Peak(PEAK, PEAK / 25, (), {}, (), 0.0, ""), PICTURE)
    return one.index if one else PEAK


def test_the_frame_that_looks_furthest_from_neutral_is_shown() -> None:
    choice = found({20: 0.4, 40: 0.9})
    assert shown(choice) == 40
    one = choose(choice, {c.index: 1.0 for c in choice.candidates}, Peak(PEAK, 1.2, (), {}, (), 0.0, ""), PICTURE)
    assert one and (one.timestamp, one.box) == (1.6, (100, 100, 100, 100))
    assert one.reason.startswith("0.40 s after the peak the subject looks ")


def test_the_peak_frame_stays_unless_another_says_clearly_more() -> None:
    assert shown(found({30: 0.9, 40: 0.95})) == PEAK
    assert shown(found({})) == PEAK


def test_only_frames_near_the_peak_in_its_shot_qualify() -> None:
    assert shown(found({6: 1.0, 54: 1.0})) == PEAK
    assert shown(found({40: 1.0}, cut=36)) == PEAK
    assert shown(found({40: 1.0}, cut=46)) == 40


@pytest.mark.parametrize(
    "unfit", [face(yaw=40), face(yaw=-40), replace(face(), pitch=-25.0), BLINK, face(confidence=0.5)]
)
def test_turned_unsure_and_blinking_faces_are_not_shown(unfit: Face) -> None:
    assert shown(found({40: 1.0}, {40: unfit})) != 40


def test_a_peak_frame_that_does_not_qualify_is_left_for_one_that_says_about_as_much() -> None:
    choice = found({25: 0.9, 30: 0.9}, {30: face(yaw=-60)})
    assert shown(choice) == 25
    assert "turned away (yaw -60" in choice.fault
    assert shown(found({28: 0.9, 32: 0.9}, {30: face(yaw=-60)})) == PEAK, "a neutral face says less than a profile"


def test_blurred_faces_are_not_shown() -> None:
    assert shown(found({35: 0.8, 40: 0.9}), {40: 20.0}) == 35
    assert shown(found({30: 0.85, 40: 0.9}), {30: 20.0}) == 40, "nor a peak frame that is blurred"
    assert shown(found({40: 0.9}), dict.fromkeys(range(60), 0.0)) == 40, "where all are the same, none is blurred"


def test_the_published_rules_show_the_peak_frame() -> None:
    assert found({40: 1.0}, rules=load_rules("merr").peak) == Choice()


def test_without_an_expression_network_it_is_the_peak_frame() -> None:
    frames = [[face(yaw=60 if index == PEAK else 0)] for index in range(60)]
    subject = Subject(tuple((index, 0) for index in range(60)), 1, 1.0, "")
    probe = Probe(640, 360, 25.0, 60, 2.4, (Shot(0, 60),), None)
    assert find(series(frames), subject, probe, Peak(PEAK, 1.2, (), {}, (), 0.0, ""), RULES) == Choice()


@pytest.mark.parametrize("fps", [1.0, 3.0, 240.0])
def test_any_rate_of_frames_gives_frames_of_the_clip(fps: float) -> None:
    count = 5
    frames = [[judged(index / count, face())] for index in range(count)]
    subject = Subject(tuple((index, 0) for index in range(count)), 1, 1.0, "")
    probe = Probe(640, 360, fps, count, count / fps, (), None)
    choice = find(series(frames, fps), subject, probe, Peak(2, 2 / fps, (), {}, (), 0.0, ""), RULES)
    assert all(0 <= one.index < count for one in choice.candidates)

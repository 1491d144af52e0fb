"""Persons: the network on real pictures, and how boxes and faces become a number of people."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merrflow_minigpt_v2.engines.measured.boxes import overlap
from merrflow_minigpt_v2.engines.measured.persons import (
    Detection,
    PersonDetector,
    anchors,
    decoded,
    distinct,
    without_face,
)
from tests.services.minigpt_v2.pictures import flat, pattern, person_in_room, person_without_a_face, portrait

BOXES = st.tuples(*[st.floats(0, 600)] * 2, *[st.floats(1, 300)] * 2)
DETECTIONS = st.lists(st.builds(Detection, BOXES, st.floats(0.6, 1)), max_size=8)


@pytest.fixture(scope="module")
def detector():
    return PersonDetector()


@pytest.mark.parametrize(
    ("image", "score", "box"),
    [
        (portrait, 0.978, (28, 9, 544, 468)),
        (person_in_room, 0.769, (265, 252, 449, 228)),
        (person_without_a_face, 0.77, None),
    ],
)
def test_a_person_has_the_score_that_was_measured(detector, image, score, box):
    best = max(detector.detect(image()), key=lambda one: one.score)
    assert best.score == pytest.approx(score, abs=0.02)
    assert box is None or best.box == pytest.approx(box, abs=6)


@pytest.mark.parametrize("image", [flat(0, 0, 0), flat(200, 200, 200), pattern(), pattern((720, 1280)), flat(5, 5, 5)])
def test_nobody_is_nobody(detector, image):
    assert detector.find(image) == ()


def test_two_persons_side_by_side(detector):
    room = flat(110, 110, 110, (480, 960))
    for left in (20, 600):
        room[240:, left : left + 320] = cv2.resize(portrait(), (320, 240), interpolation=cv2.INTER_AREA)
    boxes = sorted(detector.find(room))
    assert len(boxes) == 2 and boxes[0][0] + boxes[0][2] / 2 < 480 < boxes[1][0] + boxes[1][2] / 2


def test_a_person_at_the_end_of_a_long_picture_is_found_in_a_part(detector):
    long = flat(110, 110, 110, (480, 1600))
    long[240:, 1250:1570] = cv2.resize(portrait(), (320, 240), interpolation=cv2.INTER_AREA)
    assert all(one.score < 0.6 for one in detector.detect(long))
    (box,) = detector.find(long)
    assert box[0] > 1120 and box[0] + box[2] <= 1600


def test_anchors_are_those_of_the_network_and_decode_to_themselves():
    boxes = anchors()
    assert boxes.shape == (1917, 4)
    x, y, width, height = decoded(np.zeros((1917, 4)), boxes).T
    assert min(x.min(), y.min()) >= 0 and max((x + width).max(), (y + height).max()) <= 1 + 1e-9
    assert decoded(np.zeros((1, 4)), boxes[:1])[0] == pytest.approx((0, 0, 0.5 / 19 + 0.05, 0.5 / 19 + 0.05))


@given(DETECTIONS)
def test_each_box_is_kept_or_is_mostly_within_one_that_is(found):
    kept = distinct(found)
    assert set(kept) <= {one.box for one in found}
    assert all(overlap(a, b) < 0.6 for place, a in enumerate(kept) for b in kept[:place])
    assert all(any(overlap(one.box, box) >= 0.6 or one.box == box for box in kept) for one in found)
    assert distinct(list(reversed(found))) == kept or len({one.score for one in found}) < len(found)


@given(st.lists(BOXES, max_size=7), st.lists(BOXES, max_size=7))
def test_a_face_takes_one_person_away_at_most(persons, faces):
    left = without_face(persons, faces)
    assert max(0, len(persons) - len(faces)) <= left <= len(persons)
    assert without_face(persons, []) == len(persons)
    assert without_face(persons, faces[1:]) - left in (0, 1)
    assert without_face(persons[::-1], faces[::-1]) == left


def test_faces_belong_to_persons_one_to_one():
    man, woman, elsewhere = (0, 0, 100, 200), (80, 0, 100, 200), (500, 0, 20, 20)
    assert without_face([man, woman], [(30, 10, 20, 20)]) == 1
    assert without_face([man, woman], [(85, 10, 14, 20), (30, 10, 20, 20)]) == 0  # the first face is in both boxes
    assert without_face([man, woman], [(85, 10, 14, 20)]) == 1
    assert without_face([man], [(30, 10, 20, 20), (70, 10, 20, 20)]) == 0  # two faces in one box are two people
    assert without_face([man], [elsewhere]) == 1

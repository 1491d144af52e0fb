"""Faces and hands: geometry against known rotations, and the real models on a real face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from merrflow_minigpt_v2.engines.measured.people import PeopleFinder, head_pose
from tests.services.minigpt_v2.pictures import flat, pattern, person_without_a_face, portrait


@pytest.fixture(scope="module")
def finder():
    made = PeopleFinder()
    yield made
    made.close()


def turn(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """A face matrix with the signs of the proto: chin up, to the right of the picture, clockwise."""
    x, y, z = np.radians([-pitch, yaw, -roll])
    about_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    matrix = np.eye(4)
    matrix[:3, :3] = 1.3 * np.array(about_y) @ np.array(about_x) @ np.array(about_z)  # a scaled rotation
    return matrix


@pytest.mark.parametrize("angles", [(0, 0, 0), (20, 0, 0), (0, -40, 0), (0, 0, 15), (10, 30, -20), (-25, -60, 10)])
def test_head_pose_gives_back_the_rotation(angles):
    assert head_pose(turn(*angles)) == pytest.approx(angles, abs=1e-6)


def test_one_face_is_one_face(finder):
    image = portrait()
    people = finder.find(image)
    assert len(people.faces) == people.number == 1
    face = people.faces[0]
    assert 0 < face.box[0] < image.shape[1] and 0.8 < face.box[3] / face.height < 1.4


def test_a_mirrored_face_looks_the_other_way(finder):
    image = portrait()
    face, mirrored = finder.find(image).faces[0], finder.find(image[:, ::-1]).faces[0]
    assert mirrored.yaw == pytest.approx(-face.yaw, abs=6)
    assert mirrored.roll == pytest.approx(-face.roll, abs=4)
    assert mirrored.pitch == pytest.approx(face.pitch, abs=6)
    middle = face.box[0] + face.box[2] / 2
    assert mirrored.box[0] + mirrored.box[2] / 2 == pytest.approx(image.shape[1] - middle, abs=8)


@pytest.mark.parametrize("degrees", [-20, 20])
def test_a_turned_picture_is_a_tilted_head(finder, degrees):
    image = portrait()
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)  # OpenCV counts the other way
    turned = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    before, after = finder.find(image).faces[0], finder.find(turned).faces[0]
    assert after.roll - before.roll == pytest.approx(degrees, abs=6)


def test_a_small_face_is_found_by_the_second_pass(finder):
    image = portrait()
    scene = (pattern((720, 1280)) // 4 + 60).astype(np.uint8)
    face = finder.find(image).faces[0]
    factor = 64 / face.height
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    scene[300 : 300 + small.shape[0], 900 : 900 + small.shape[1]] = small
    found = finder.find(scene).faces
    assert len(found) == 1 and found[0].second_pass
    assert found[0].box[0] == pytest.approx(900 + factor * face.box[0], abs=10)
    assert found[0].height == pytest.approx(64, rel=0.2)


def test_two_faces_largest_first(finder):
    image = portrait()
    half = cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    both = flat(120, 120, 120, (image.shape[0], image.shape[1] + half.shape[1]))
    both[:, half.shape[1] :] = image
    both[: half.shape[0], : half.shape[1]] = half
    faces = finder.find(both).faces
    assert len(faces) == 2 and faces[0].height > faces[1].height
    assert faces[0].box[0] > half.shape[1] > faces[1].box[0]


def test_large_pictures_answer_in_their_own_pixels(finder):
    image = portrait()
    large = cv2.resize(image, None, fx=4, fy=4)
    face, same = finder.find(image).faces[0], finder.find(large).faces[0]
    assert np.allclose(np.array(same.box) / 4, face.box, atol=6)


@pytest.mark.parametrize("image", [flat(0, 0, 0), flat(200, 200, 200), pattern(), flat(5, 5, 5, (1, 1))])
def test_nobody_is_nobody(finder, image):
    assert finder.find(image).faces == () and finder.find(image).hands == ()


def test_a_person_without_a_face_is_a_person(finder):
    people = finder.find(person_without_a_face())
    assert people.faces == () and people.without_face == people.number == 1


def test_without_the_detector_faces_are_counted_alone():
    finder = PeopleFinder(persons=False)
    people = finder.find(person_without_a_face())
    assert people.without_face is None and people.number == 0
    finder.close()

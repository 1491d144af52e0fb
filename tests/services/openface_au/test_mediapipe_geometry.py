"""Pose signs and pose-free distances on meshes turned by a known rotation."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_openface_au.engines.mediapipe.geometry import (
    GEOMETRY,
    bounding_box,
    facial_geometry,
    frontal,
    head_pose,
    overlap,
)


def turn(*, pitch: float = 0.0, yaw: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Rotation written from the words of the proto: x right, y up, z to the viewer."""
    pitch, yaw, roll = np.radians([pitch, yaw, roll])
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    about_z = np.array([[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def matrix(rotation: np.ndarray, scale: float = 1.0) -> np.ndarray:
    made = np.eye(4)
    made[:3, :3] = rotation * scale
    made[:3, 3] = (3.0, -2.0, -40.0)
    return made


def mesh() -> np.ndarray:
    """A made-up symmetric face of 478 points, y up: what matters is that distances survive the pose."""
    points = np.random.default_rng(3).normal(0, 30, (478, 3))
    points[33], points[133] = (-45, 20, 0), (-20, 20, 5)
    points[263], points[362] = (45, 20, 0), (20, 20, 5)
    points[13], points[14] = (0, -30, 10), (0, -36, 10)
    points[61], points[291] = (-20, -33, 4), (20, -33, 4)
    return points


def seen(points: np.ndarray, rotation: np.ndarray, scale: float = 2.0) -> np.ndarray:
    """The mesh as the landmarker gives it: pixels, y down, z smaller when nearer."""
    return (points @ rotation.T) * scale * (1, -1, -1) + (400, 300, 0)


def test_straight_face_has_no_pose() -> None:
    pose = head_pose(matrix(np.eye(3)))
    assert (pose.pitch, pose.yaw, pose.roll) == pytest.approx((0, 0, 0), abs=1e-9)


@pytest.mark.parametrize("scale", [1.0, 0.2])
@pytest.mark.parametrize("angles", [(20, 0, 0), (0, 30, 0), (0, 0, 15), (-12, -40, 8), (10, 60, -25)])
def test_pose_is_recovered(angles: tuple[float, float, float], scale: float) -> None:
    pitch, yaw, roll = angles
    pose = head_pose(matrix(turn(pitch=pitch, yaw=yaw, roll=roll), scale))
    assert (pose.pitch, pose.yaw, pose.roll) == pytest.approx(angles, abs=1e-6)


def test_signs_are_those_of_the_proto() -> None:
    """Where the nose (z) and the top of the head (y) go, in picture coordinates with y down."""
    nose, top = np.array([0, 0, 1.0]), np.array([0, 1.0, 0])
    assert (turn(yaw=30) @ nose)[0] > 0  # right side of the picture
    assert (turn(pitch=30) @ nose)[1] > 0  # up
    assert (turn(roll=30) @ top)[0] > 0  # clockwise: the top leans to the right
    assert head_pose(matrix(turn(yaw=30))).yaw > 0
    assert head_pose(matrix(turn(pitch=30))).pitch > 0
    assert head_pose(matrix(turn(roll=30))).roll > 0


@pytest.mark.parametrize("angles", [(15, 0, 0), (0, 35, 0), (0, 0, 20), (-10, -30, 12)])
def test_distances_do_not_depend_on_pose_or_size(angles: tuple[float, float, float]) -> None:
    pitch, yaw, roll = angles
    straight = facial_geometry(seen(mesh(), np.eye(3)), matrix(np.eye(3)))
    rotation = turn(pitch=pitch, yaw=yaw, roll=roll)
    turned = facial_geometry(seen(mesh(), rotation, scale=0.7), matrix(rotation))
    assert set(straight) == set(GEOMETRY)
    assert turned == pytest.approx(straight, abs=1e-6)


def test_lip_gap_over_mouth_width() -> None:
    values = facial_geometry(seen(mesh(), np.eye(3)), matrix(np.eye(3)))
    assert values["lip_gap_ratio"] == pytest.approx(6 / 40)
    assert values["lip_gap"] == pytest.approx(6 / 65)  # eyes' centres are 65 apart


def test_degenerate_mesh_gives_finite_numbers() -> None:
    values = facial_geometry(np.zeros((478, 3)), matrix(np.eye(3)))
    assert all(np.isfinite(value) for value in values.values())
    assert np.isfinite(frontal(np.zeros((478, 3)), np.zeros((4, 4)))).all()


def test_boxes() -> None:
    points = np.zeros((478, 3))
    points[0], points[1] = (10, 20, 0), (50, 100, 0)
    points[2:] = (30, 40, 0)
    assert bounding_box(points) == (10, 20, 40, 80)
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(0.5)
    assert overlap((0, 0, 100, 100), (40, 40, 10, 10)) == 1.0
    assert overlap((0, 0, 10, 10), (20, 0, 10, 10)) == 0.0

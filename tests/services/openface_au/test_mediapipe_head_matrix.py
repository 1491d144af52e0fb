"""The head's place from its mesh: faces seen by a camera that is known."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_openface_au.engines.mediapipe.head_matrix import FIELD_OF_VIEW, head_matrix, load_mesh_numbers

NUMBERS = load_mesh_numbers()
CANONICAL = NUMBERS.pulls / NUMBERS.weights[:, None] + NUMBERS.middle


def turned(yaw: float) -> np.ndarray:
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return np.array([(c, 0, s), (0, 1, 0), (-s, 0, c)])


def seen(yaw: float, place: tuple[float, float, float], crop: tuple[int, int, int, int]) -> np.ndarray:
    """A mesh (478, 3) in pixels, as the network gives it: depth in the unit of the picture at the head's distance."""
    left, top, width, height = crop
    points = CANONICAL @ turned(yaw).T + place
    pixel = 2 * np.tan(FIELD_OF_VIEW / 2) / height
    mesh = np.zeros((478, 3), np.float32)
    depth = -points[:, 2]
    mesh[NUMBERS.head_points, 0] = points[:, 0] / depth / pixel + left + width / 2
    mesh[NUMBERS.head_points, 1] = top + height / 2 - points[:, 1] / depth / pixel
    z = depth / -place[2] / pixel
    rest = np.setdiff1d(np.arange(468), NUMBERS.head_points)
    mesh[NUMBERS.head_points, 2], mesh[rest, 2] = z, z.mean()
    return mesh


@pytest.mark.parametrize("yaw", [-40.0, 0.0, 25.0])
@pytest.mark.parametrize("crop", [(0, 0, 640, 480), (300, 120, 400, 400)])
def test_a_known_head_is_found(yaw: float, crop: tuple[int, int, int, int]) -> None:
    matrix = head_matrix(NUMBERS, seen(yaw, (2, -3, -40), crop), crop)
    assert matrix is not None
    scale = np.linalg.norm(matrix[:3, 0])
    assert scale == pytest.approx(1, abs=0.05)
    assert matrix[:3, :3] / scale == pytest.approx(turned(yaw), abs=0.03)
    assert matrix[:3, 3] == pytest.approx((2, -3, -40), abs=2)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_mesh_without_size_has_no_place(value: float) -> None:
    assert head_matrix(NUMBERS, np.full((478, 3), value, np.float32), (0, 0, 640, 480)) is None

"""Head pose, bounding box and facial distances from the 478 points of MediaPipe's face mesh.

Point numbers are those of the canonical face model (Kartynnik et al. 2019, "Real-time Facial Surface Geometry from
Monocular Video on Mobile GPUs"). "Left" and "right" are the person's own, as in FACS.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.types import Box, Pose

Floats = npt.NDArray[np.floating[Any]]

RIGHT_EYE, LEFT_EYE = (33, 133), (263, 362)  # outer and inner corner
UPPER_LID, LOWER_LID = (159, 386), (145, 374)  # right, left
INNER_BROW, OUTER_BROW = (55, 107, 285, 336), (46, 70, 276, 300)
UPPER_LIP_INNER, LOWER_LIP_INNER, UPPER_LIP, LOWER_LIP = 13, 14, 0, 17
MOUTH_CORNERS = (61, 291)
NOSE_BASE, CHIN = 2, 152
# What BlazeFace's first four keypoints are on the mesh: right eye, left eye, nose tip, middle of the mouth.
DETECTOR_POINTS = ((33, 133, 159, 145), (263, 362, 386, 374), (1, 4), (13, 14))

GEOMETRY = (
    "lip_gap",
    "lip_gap_ratio",
    "mouth_width",
    "corner_height",
    "inner_brow_height",
    "outer_brow_height",
    "brow_distance",
    "eye_opening",
    "lower_lid_height",
    "jaw_length",
)


def rotation(matrix: Floats) -> npt.NDArray[np.float64]:
    """The pure rotation (3, 3) in a facial transformation matrix (4, 4), which also scales."""
    u, _, vt = np.linalg.svd(np.asarray(matrix, np.float64)[:3, :3])
    turn: npt.NDArray[np.float64] = u @ vt
    if np.linalg.det(turn) <= 0:  # a reflection
        turn = u @ np.diag([1.0, 1.0, -1.0]) @ vt
    return turn


def head_pose(matrix: Floats) -> Pose:
    """Head rotation from a facial transformation matrix (4, 4).

    The matrix takes the canonical face (x to the picture's right, y up, z out of the face to the viewer) to
    the camera. It is split as R = Ry(yaw) Rx(-pitch) Rz(-roll).
    """
    turn = rotation(matrix)
    yaw = np.arctan2(turn[0, 2], turn[2, 2])
    pitch = np.arcsin(np.clip(turn[1, 2], -1.0, 1.0))
    roll = -np.arctan2(turn[1, 0], turn[1, 1])
    pitch, yaw, roll = np.degrees([pitch, yaw, roll])
    return Pose(pitch=float(pitch), yaw=float(yaw), roll=float(roll))


def frontal(points: Floats, matrix: Floats) -> npt.NDArray[np.float64]:
    """The mesh rotated to look straight ahead, y up, scaled so that the eyes' centres are 1 apart.

    points: (478, 3) pixels with y down. Returns (478, 3), with its mean at the origin.
    """
    mesh: npt.NDArray[np.float64] = np.asarray(points, np.float64) * (1.0, -1.0, -1.0)
    mesh = (mesh - mesh.mean(axis=0)) @ rotation(matrix)
    right, left = mesh[list(RIGHT_EYE)].mean(axis=0), mesh[list(LEFT_EYE)].mean(axis=0)
    mesh /= max(float(np.linalg.norm(right - left)), 1e-6)
    return mesh


def facial_geometry(points: Floats, matrix: Floats) -> dict[str, float]:
    """The distances named in `GEOMETRY`, in units of the distance between the eyes, head pose removed."""
    mesh = frontal(points, matrix)

    def distance(a: int, b: int) -> float:
        return float(np.linalg.norm(mesh[a] - mesh[b]))

    right_line = mesh[list(RIGHT_EYE), 1].mean()
    left_line = mesh[list(LEFT_EYE), 1].mean()
    eye_line = (right_line + left_line) / 2
    lip_gap = distance(UPPER_LIP_INNER, LOWER_LIP_INNER)
    mouth_width = distance(*MOUTH_CORNERS)
    lip_line = mesh[[UPPER_LIP_INNER, LOWER_LIP_INNER], 1].mean()
    openings = [
        distance(upper, lower) / max(distance(*eye), 1e-6)
        for upper, lower, eye in zip(UPPER_LID, LOWER_LID, (RIGHT_EYE, LEFT_EYE), strict=True)
    ]
    values = (
        lip_gap,
        lip_gap / max(mouth_width, 1e-6),
        mouth_width,
        mesh[list(MOUTH_CORNERS), 1].mean() - lip_line,
        mesh[list(INNER_BROW), 1].mean() - eye_line,
        mesh[list(OUTER_BROW), 1].mean() - eye_line,
        distance(INNER_BROW[0], INNER_BROW[2]),
        sum(openings) / 2,
        mesh[list(LOWER_LID), 1].mean() - eye_line,
        mesh[NOSE_BASE, 1] - mesh[CHIN, 1],
    )
    return {name: float(value) for name, value in zip(GEOMETRY, values, strict=True)}


def bounding_box(points: Floats) -> Box:
    """The box in pixels around the mesh (478, 3): brows to chin, ear to ear."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))


def overlap(a: Box, b: Box) -> float:
    """The common area of two boxes over the area of the smaller, 0 to 1."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / max(min(a[2] * a[3], b[2] * b[3]), 1e-6)

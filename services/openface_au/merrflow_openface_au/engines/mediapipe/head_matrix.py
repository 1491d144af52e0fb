"""The transformation from the canonical face to the camera, as MediaPipe's face geometry computes it.

Weighted Procrustes analysis (Akca 2003, "Generalized Procrustes analysis and its applications in photogrammetry") of 33
points, twice for the scale, because a camera sees near points larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt
import yaml

FIELD_OF_VIEW = np.radians(63.0)  # vertical, of the picture's crop; MediaPipe's default camera
MESH_POINTS = 468  # without the irises
LEAST_SIDE = 1.0  # pixels of a mesh

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MeshNumbers:
    """data/face_mesh.yaml."""

    blendshape_points: npt.NDArray[np.intp]  # (146,)
    head_points: npt.NDArray[np.intp]  # (33,)
    weights: Floats  # (33,), 1 in all
    middle: Floats  # (3,) of the canonical points
    pulls: Floats  # (33, 3): weight times distance from the middle
    spread: float  # weighted square of the distances


def load_mesh_numbers() -> MeshNumbers:
    """Those of this package."""
    file = resources.files("merrflow_openface_au") / "data" / "face_mesh.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    numbers, weights, canonical = np.split(np.array(content["head_points"], np.float64), (1, 2), axis=1)
    weights /= weights.sum()
    middle = (weights * canonical).sum(axis=0)
    return MeshNumbers(
        np.array(content["blendshape_points"], np.intp),
        numbers[:, 0].astype(np.intp),
        weights[:, 0],
        middle,
        weights * (canonical - middle),
        float((weights * (canonical - middle) ** 2).sum()),
    )


def head_matrix(
    numbers: MeshNumbers, points: npt.NDArray[np.float32], crop: tuple[int, int, int, int]
) -> npt.NDArray[np.float32] | None:
    """(4, 4), in centimetres; None if the mesh is too small to say.

    points: (478, 3) pixels. crop: left, top, width and height of the part of the picture that is taken for the camera's
    view.
    """
    across = points[:, :2]
    if not np.isfinite(across).all() or np.ptp(across, axis=0).max() < LEAST_SIDE:
        return None
    left, top, width, height = crop
    pixel = 2 * np.tan(FIELD_OF_VIEW / 2) / height  # at a distance of 1
    mesh = points[:MESH_POINTS].astype(np.float64)
    depth = mesh[:, 2].mean() * pixel
    seen = mesh[numbers.head_points] * pixel
    seen[:, 0] -= (left + width / 2) * pixel
    seen[:, 1] = (top + height / 2) * pixel - seen[:, 1]
    try:
        scale, _ = _turn(numbers, seen * (1, 1, -1))
        scale *= _turn(numbers, _unprojected(seen, depth, scale))[0]
        placed = _unprojected(seen, depth, scale)
        scale, turn = _turn(numbers, placed)
    except np.linalg.LinAlgError:
        return None
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = scale * turn
    matrix[:3, 3] = numbers.weights @ placed - scale * turn @ numbers.middle
    return matrix if np.isfinite(matrix).all() else None


def _unprojected(seen: Floats, depth: float, scale: float) -> Floats:
    """Where the points are that are seen so, if the head has this scale."""
    z = (seen[:, 2] - depth + 1) / scale
    return np.column_stack([seen[:, :2] * z[:, None], -z])


def _turn(numbers: MeshNumbers, seen: Floats) -> tuple[float, Floats]:
    """The scale, and the rotation (3, 3), that bring the canonical points nearest to `seen` (33, 3)."""
    pull = seen.T @ numbers.pulls
    u, sizes, vt = np.linalg.svd(pull)
    if np.linalg.det(pull) < 0:  # no reflection
        u[:, 2] *= -1
        sizes[2] *= -1
    return float(sizes.sum()) / numbers.spread, u @ vt

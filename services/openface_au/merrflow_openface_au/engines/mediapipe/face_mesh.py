"""MediaPipe's face mesh and blendshapes: the two networks, and where in a picture the first one looks.

What MediaPipe's FaceLandmarker does in its VIDEO mode, without its graph, which costs as much again as the networks: it
copies the picture, and makes an object of every point more than once. The networks keep no state, so that all faces
share them. Kartynnik et al. 2019, "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.mediapipe.blaze_face import Found
from merrflow_openface_au.engines.mediapipe.head_matrix import head_matrix, load_mesh_numbers
from merrflow_openface_au.engines.mediapipe.images import Image, warp
from merrflow_openface_au.engines.mediapipe.tflite import TfliteNetwork

STAMP = "mesh=litert-1"  # of what this file makes of a picture; a change of the results is a new one
SIDE = 256  # pixels that the network sees
MARGIN = 1.5  # side of what it sees, in sizes of the face
RIGHT_CORNER, LEFT_CORNER = 33, 263  # outer corners of the eyes, which are brought level

Points = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Region:
    """A turned square of a picture."""

    x: float  # of the centre, pixels
    y: float
    side: float  # pixels
    angle: float  # radians, clockwise for the viewer


def region_of_points(points: npt.NDArray[np.floating[Any]]) -> Region:
    """Where the face with this mesh (478, 3) is looked for in the next frame."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return _region(low, high, points[RIGHT_CORNER, :2], points[LEFT_CORNER, :2])


def region_of_detection(found: Found) -> Region:
    """Where the mesh of a face that was detected is looked for."""
    low = np.array(found.box[:2])
    return _region(low, low + found.box[2:], found.points[0], found.points[1])


def _region(
    low: npt.NDArray[np.floating[Any]],
    high: npt.NDArray[np.floating[Any]],
    right_eye: npt.NDArray[np.floating[Any]],
    left_eye: npt.NDArray[np.floating[Any]],
) -> Region:
    (x, y), (across, down) = (low + high) / 2, left_eye - right_eye
    return Region(float(x), float(y), MARGIN * float((high - low).max()), float(np.arctan2(down, across)))


class FaceMesh:
    """The two networks. Not thread-safe."""

    def __init__(self, mesh: bytes, blendshapes: bytes) -> None:
        """The bytes of the two members of the bundle."""
        self._mesh, self._blendshapes = TfliteNetwork(mesh), TfliteNetwork(blendshapes)
        self._numbers = load_mesh_numbers()

    def points(self, image: Image, region: Region, lut: Image | None) -> tuple[Points, float]:
        """The mesh (478, 3) in pixels of `image`, z in the same unit, and how sure it is that there is a face, 0 to 1.

        image: (height, width, 3) RGB. lut: (256,) brightens what the network sees.
        """
        turn = np.array([[np.cos(region.angle), -np.sin(region.angle)], [np.sin(region.angle), np.cos(region.angle)]])
        turn *= region.side / SIDE
        corner = np.array([region.x, region.y]) - turn @ (SIDE / 2, SIDE / 2)
        seen = warp(image, np.column_stack([turn, corner]), SIDE)
        if lut is not None:
            seen = lut[seen]
        found, presence, _ = self._mesh.run(seen, 1 / 255)
        points: Points = found.reshape(-1, 3)
        points[:, :2] = points[:, :2] @ turn.T.astype(np.float32) + corner.astype(np.float32)
        points[:, 2] *= region.side / SIDE
        return points, float(1 / (1 + np.exp(-np.clip(presence.item(), -100, 100))))

    def blendshapes(self, points: Points) -> npt.NDArray[np.float32]:
        """(52,) 0 to 1, of a mesh in pixels."""
        (found,) = self._blendshapes.run(points[self._numbers.blendshape_points, :2])
        return found

    def matrix(self, points: Points, crop: tuple[int, int, int, int]) -> npt.NDArray[np.float32] | None:
        """As `head_matrix`."""
        return head_matrix(self._numbers, points, crop)

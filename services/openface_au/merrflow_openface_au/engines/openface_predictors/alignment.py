"""A face as OpenFace's predictors know it: upright, 112 x 112 pixels, black outside its points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SIDE = 112  # pixels
SCALE = 0.7  # pixels per millimetre of the mean face
# Points that expressions move little: outer jaw, nose, corners of the eyes. From 0.
RIGID = (1, 2, 3, 4, 12, 13, 14, 15, 27, 28, 29, 31, 32, 33, 34, 35, 36, 39, 40, 41, 42, 45, 46, 47)
RAISED = (0, 16, *range(17, 27))  # outermost jaw points and brows: the mask takes in the forehead above them
RAISED_BY = 30.0  # pixels

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Aligner:
    """Turns, scales and masks pictures of faces by the mean face and its triangles."""

    mean: Floats  # (68, 2) millimetres, seen from the front
    triangles: npt.NDArray[np.int32]  # (n, 3)

    def align(self, image: Image, points: Floats, shift: Floats) -> Image:
        """(height, width, 3), points (68, 2) and the face's middle (2,) in pixels to (SIDE, SIDE, 3)."""
        import cv2

        turn = self._similarity(points)
        offset = SIDE / 2 - turn @ shift
        flat = cv2.warpAffine(image, np.column_stack([turn, offset]), (SIDE, SIDE), flags=cv2.INTER_LINEAR)
        outline = points @ turn.T + offset
        outline[list(RAISED), 1] -= RAISED_BY
        mask = np.zeros((SIDE, SIDE), np.uint8)
        # Corners beyond the picture by any amount are allowed; a corner far away would overflow.
        for corners in np.round(np.clip(outline, -9 * SIDE, 9 * SIDE)).astype(np.int32)[self.triangles]:
            cv2.fillConvexPoly(mask, corners, 1)
        flat *= mask[..., None]
        return np.asarray(flat, np.uint8)

    def _similarity(self, points: Floats) -> Floats:
        """(2, 2): turn and scale that bring the rigid points nearest to those of the mean face."""
        source, target = points[list(RIGID)], SCALE * self.mean[list(RIGID)]
        source, target = source - source.mean(axis=0), target - target.mean(axis=0)
        along = float((source * target).sum())
        across = float((source[:, 0] * target[:, 1] - source[:, 1] * target[:, 0]).sum())
        # The scale is the ratio of the sizes, not that of least squares.
        size = np.sqrt((target**2).sum() / max(float((source**2).sum()), 1e-12))
        length = max(float(np.hypot(along, across)), 1e-12)
        turn: Floats = size / length * np.array([[along, -across], [across, along]])
        return turn

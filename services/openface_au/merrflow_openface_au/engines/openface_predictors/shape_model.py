"""OpenFace's point distribution model: 68 points as a mean face and 34 modes of identity and expression.

points = s * R[:2] (mean + V q) + t, fitted by Gauss-Newton with a Gaussian prior on q (Saragih, Lucey and Cohn 2011,
"Deformable Model Fitting by Regularized Landmark Mean-Shift"; Baltrusaitis, Robinson and Morency 2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

POINTS = 68
JAW = slice(0, 17)
COLD_STEPS, WARM_STEPS = 40, 5  # at most; without and with the face's fit in the frame before
SETTLED = 1e-3  # largest change of a point, in millimetres, that ends the fit

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fit:
    """The model's parameters for one face."""

    scale: float  # pixels per millimetre
    rotation: Floats  # (3, 3)
    shift: Floats  # (2,) pixels
    modes: Floats  # (34,) q


@dataclass(frozen=True, eq=False)
class ShapeModel:
    """Mean and modes, in millimetres."""

    mean: Floats  # (68, 3): x to the right, y down, z away from the viewer
    modes: Floats  # (204, 34): all x, then all y, then all z
    variances: Floats  # (34,)

    def offsets(self, modes: Floats) -> Floats:
        """How the modes move the points: (204,), as in `modes`."""
        moved: Floats = self.modes @ modes
        return moved

    def project(self, fit: Fit) -> Floats:
        """The model's points in the picture: (68, 2) pixels."""
        shape = self.mean + self.offsets(fit.modes).reshape(3, POINTS).T
        points: Floats = fit.scale * shape @ fit.rotation[:2].T + fit.shift
        return points

    def fit(self, points: Floats, start: Fit | None, *, prior: float, jaw_weight: float) -> Fit:
        """The parameters for 68 points (68, 2) in pixels.

        start: of the same face in the frame before, or None. prior: weight of (q / standard deviation)^2 beside squared
        distances in millimetres. jaw_weight: of the jaw points, where others count 1.
        """
        weights = np.ones((POINTS, 2))
        weights[JAW] = jaw_weight
        fit, steps = (start, WARM_STEPS) if start is not None else (self._rigid(points, weights), COLD_STEPS)
        for _ in range(steps):
            fit, change = self._step(points, weights, fit, prior)
            if change < SETTLED:
                break
        return fit

    def _rigid(self, points: Floats, weights: Floats) -> Fit:
        """Scale, turn and shift of the mean face alone."""
        centre = points.mean(axis=0)
        scale = float(
            np.linalg.norm(points - centre) / np.linalg.norm(self.mean[:, :2] - self.mean[:, :2].mean(axis=0))
        )
        fit = Fit(max(scale, 1e-6), np.eye(3), centre, np.zeros(self.modes.shape[1]))
        for _ in range(COLD_STEPS):
            fit, change = self._step(points, weights, fit, None)
            if change < SETTLED:
                break
        return fit

    def _step(self, points: Floats, weights: Floats, fit: Fit, prior: float | None) -> tuple[Fit, float]:
        """One step of Gauss-Newton, and how far it moved the points, in millimetres. prior: None keeps q."""
        count = len(fit.modes) if prior is not None else 0
        shape = self.mean + self.offsets(fit.modes).reshape(3, POINTS).T  # (68, 3)
        seen = fit.rotation[:2]
        flat = shape @ seen.T  # (68, 2), millimetres
        residual = (points - fit.shift) / fit.scale - flat  # scaled, so that resolution does not count
        jacobian = np.empty((6 + count, POINTS, 2))
        jacobian[0] = flat  # of log scale
        for axis in range(3):  # a small turn of the model before its rotation
            turned = np.cross(np.eye(3)[axis], shape)
            jacobian[1 + axis] = turned @ seen.T
        jacobian[4], jacobian[5] = (1.0, 0.0), (0.0, 1.0)  # of the shift, in millimetres
        if count:
            modes = self.modes.reshape(3, POINTS, count)
            jacobian[6:] = np.tensordot(seen, modes, axes=(1, 0)).transpose(2, 1, 0)
        rows = jacobian.reshape(6 + count, -1)
        weighted = rows * weights.reshape(-1)
        normal = weighted @ rows.T
        right = weighted @ residual.reshape(-1)
        if prior is not None:
            strength = prior / self.variances
            normal[range(6, 6 + count), range(6, 6 + count)] += strength
            right[6:] -= strength * fit.modes
        normal[range(6), range(6)] += 1e-9
        step = np.linalg.solve(normal, right)
        moved = float(np.abs(step @ rows).max())
        new = Fit(
            fit.scale * float(np.exp(np.clip(step[0], -0.5, 0.5))),
            fit.rotation @ _turn(np.clip(step[1:4], -0.5, 0.5)),
            fit.shift + fit.scale * step[4:6],
            fit.modes + step[6:] if count else fit.modes,
        )
        return new, moved


def _turn(vector: Floats) -> Floats:
    """The rotation (3, 3) about `vector` by its length in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: Floats = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turn

"""The filter that MediaPipe smooths a face's mesh with over time.

Casiez et al. 2012, "1 Euro Filter: A Simple Speed-based Low-pass Filter": a point at rest is smoothed, a fast one not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

REST_HERTZ = 0.05  # cutoff frequency of a point at rest
BETA = 80.0  # what the cutoff gains with speed, in sizes of the face a second
SPEED_HERTZ = 1.0  # cutoff frequency of the speed itself

Points = npt.NDArray[np.float32]


class Smoother:
    """One face's mesh over time."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._raw: Points | None = None
        self._smooth = self._speed = np.zeros(0, np.float32)

    def forget(self) -> None:
        """The face was lost: the next mesh is taken as it is."""
        self._raw = None

    def add(self, points: Points, seconds: float) -> Points:
        """The smoothed mesh. points: (478, 3) pixels. seconds: of the frame, later than those before."""
        size = float((points[:, :2].max(axis=0) - points[:, :2].min(axis=0)).mean())
        if self._raw is None or size < 1e-6:
            self._smooth, self._speed = points, np.zeros_like(points)
        else:
            passed = seconds - self._seconds
            speed = (points - self._raw) / np.float32(size * passed)
            self._speed = self._speed + _share(SPEED_HERTZ, passed) * (speed - self._speed)
            cutoff = np.float32(REST_HERTZ) + np.float32(BETA) * np.abs(self._speed)
            self._smooth = self._smooth + _share(cutoff, passed) * (points - self._smooth)
        self._raw, self._seconds = points, seconds
        return self._smooth


def _share(hertz: float | Points, passed: float) -> np.float32 | Points:
    """Of a new value, in a low-pass filter with this cutoff frequency."""
    return np.float32(1) / (1 + np.float32(1) / (np.float32(2 * np.pi * passed) * hertz))

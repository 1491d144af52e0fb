"""How sharp a face in a picture is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 128  # pixels to which every face is brought, so that large and small faces compare


def sharpness(grey: NDArray[np.uint8], box: tuple[float, float, float, float]) -> float | None:
    """Variance of the Laplacian of the face's grey values (Pech-Pacheco et al. 2000), brought to 128 x 128 pixels.

    grey: (height, width). box: x, y, width, height in pixels of it. None if no pixel of the picture is in the box.
    """
    import cv2

    x, y, width, height = (round(value) for value in box)
    face = grey[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
    if not face.size:
        return None
    small = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return round(float(cv2.Laplacian(small, cv2.CV_64F).var()), 1)

"""How sharp the face in a peak picture is."""

from __future__ import annotations

from pathlib import Path

SIDE = 128  # pixels to which every face is brought, so that large and small faces compare


def face_sharpness(picture: Path | None, box: tuple[float, float, float, float] | None) -> float | None:
    """Variance of the Laplacian of the face's grey values (Pech-Pacheco et al. 2000), brought to 128 x 128 pixels.

    box: x, y, width, height in pixels of the picture. None if there is no picture or no box.
    """
    import cv2
    import numpy as np

    if box is None or picture is None or not picture.is_file():
        return None
    image = cv2.imdecode(np.fromfile(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        return None
    x, y, width, height = (round(value) for value in box)
    face = image[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
    if not face.size:
        return None
    face = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return round(float(cv2.Laplacian(face, cv2.CV_64F).var()), 1)

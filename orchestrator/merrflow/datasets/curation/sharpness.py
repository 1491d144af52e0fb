"""How sharp the face in a record's picture is."""

from __future__ import annotations

from pathlib import Path

from merrflow.stages.sharpness import sharpness


def face_sharpness(picture: Path | None, box: tuple[float, float, float, float] | None) -> float | None:
    """See `sharpness`. box: x, y, width, height in pixels of the picture. None if there is no picture or no box."""
    import cv2
    import numpy as np

    if box is None or picture is None or not picture.is_file():
        return None
    image = cv2.imdecode(np.fromfile(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    return None if image is None else sharpness(np.asarray(image, np.uint8), box)

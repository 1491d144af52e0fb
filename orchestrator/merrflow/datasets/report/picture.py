"""Peak frames as small JPEGs inside the page."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

QUALITY = 80  # of JPEG, 0 to 100


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


def thumbnail(path: Path | None, longest: int) -> Picture | None:
    """The picture at `path`, made smaller so that no side is above `longest` pixels; None if there is none.

    It is decoded and encoded anew, so that nothing but pixels gets into the page.
    """
    import cv2
    import numpy as np

    try:
        data = np.fromfile(path, np.uint8) if path else np.empty(0, np.uint8)  # cv2.imread would fail on some names
    except OSError:
        return None
    if not data.size:
        return None
    # At half size decoding is faster; if that is too small, the whole picture is needed.
    image = cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_2)
    if image is not None and max(image.shape[:2]) < longest:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if image is None:
        return None
    height, width = image.shape[:2]
    scale = min(1.0, longest / max(height, width))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    done, jpeg = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    if not done:
        return None
    height, width = image.shape[:2]
    return Picture("data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii"), width, height)

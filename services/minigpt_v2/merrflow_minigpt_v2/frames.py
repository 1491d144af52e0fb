"""What every engine of this service asks of a frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from merrflow_serving.errors import InvalidInput, TooLarge


def check_frame(image: npt.NDArray[np.uint8], max_pixels: int) -> None:
    """Raises `InvalidInput` if a frame is not (height, width, 3) uint8 RGB, `TooLarge` above `max_pixels`."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise InvalidInput("a frame must be (height, width, 3) 8-bit RGB")
    if image.shape[0] * image.shape[1] > max_pixels:
        raise TooLarge(f"a frame of {image.shape[1]}x{image.shape[0]} has more than {max_pixels} pixels")


def shrunk(image: npt.NDArray[np.uint8], longest: int) -> npt.NDArray[np.uint8]:
    """(height, width, 3) with at most `longest` pixels a side; never enlarged."""
    import cv2  # not by what measures a GPU alone

    factor = longest / max(image.shape[:2])
    if factor >= 1:
        return image
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

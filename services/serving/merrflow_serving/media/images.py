"""Decoding of still images, and encoding as JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from merrflow_serving.errors import TooLarge, UnreadableMedia
from merrflow_serving.media.video import Source, iter_frames


def decode_image(source: Source, *, max_pixels: int = 0) -> np.ndarray:
    """An image file, or the first frame of a video, as (height, width, 3) uint8 RGB.

    Raises `UnreadableMedia` or `TooLarge` (0 means no limit).
    """
    # One thread: starting one per core takes as long as decoding the picture, and each leaves a heap behind.
    for frame in iter_frames(source, max_pixels=max_pixels, threads=1):
        return frame.image
    raise UnreadableMedia("the file holds no image")


def encode_jpeg(image: np.ndarray, *, quality: int = 92) -> bytes:
    """A JPEG file of (height, width, 3) uint8 RGB."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".jpeg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise TooLarge(f"an image of {image.shape[1]}x{image.shape[0]} cannot be written as JPEG")
    return data.tobytes()

"""Test videos of the drawn face, encoded with PyAV."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np


def encode(
    images: Iterable[np.ndarray],
    *,
    fps: int = 25,
    rotation: int = 0,
    mirrored: bool = False,
    pixel_ratio: Fraction = Fraction(1),
) -> bytes:
    """An MP4 file of (height, width, 3) uint8 RGB pictures; width and height must be even.

    rotation: counterclockwise degrees; with `mirrored` and `pixel_ratio`, how the file says it is to be shown.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = None
        for image in images:
            if stream is None:
                stream = container.add_stream("libx264", rate=fps, options={"crf": "12", "preset": "ultrafast"})
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                if rotation or mirrored:
                    stream.set_display_rotation(rotation, hflip=mirrored)
                if pixel_ratio != 1:
                    stream.sample_aspect_ratio = pixel_ratio
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def noise(width: int = 320, height: int = 240, *, seed: int = 7) -> np.ndarray:
    """A picture with structure but without a face."""
    import cv2

    small = np.random.default_rng(seed).integers(0, 255, (height // 16, width // 16, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)

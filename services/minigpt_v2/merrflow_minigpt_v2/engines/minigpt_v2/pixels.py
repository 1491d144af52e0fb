"""From a picture of any size to the vision tower's input."""

from __future__ import annotations

import numpy as np
from PIL import Image

from merrflow_minigpt_v2.engines.minigpt_v2.architecture import Picture
from merrflow_serving.errors import InvalidInput, TooLarge

STRIP_PIXELS = 1 << 25  # largest picture between both passes: 128 MiB


def check(image: np.ndarray, max_pixels: int) -> None:
    """Raises `InvalidInput` for what is no (height, width, 3) uint8 RGB, `TooLarge` above `max_pixels`."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise InvalidInput("a frame must be (height, width, 3) 8-bit RGB")
    if image.shape[0] * image.shape[1] > max_pixels:
        raise TooLarge(f"a frame of {image.shape[1]}x{image.shape[0]} has more than {max_pixels} pixels")


def squash(image: np.ndarray, size: int) -> np.ndarray:
    """(height, width, 3) uint8 RGB as (size, size, 3) uint8.

    Bicubic with the kernel widened where the picture shrinks (antialiased), rounded to whole levels: what torchvision's
    `Resize` does with a PIL image, which is what the model was trained and published with. OpenCV's and torch's own
    bicubic differ by tens of levels. Columns go first, as in the Pillow of the model's time; newer ones sometimes
    take rows first, which moves values by a level. A strip of a few columns and very many rows is taken rows first too:
    widened at its full height, one of 1 x 40,000,000 pixels would fill 70 GB.
    """
    height, width = image.shape[:2]
    between = (size, height) if size * height <= STRIP_PIXELS else (width, size)
    half_done = Image.fromarray(image).resize(between, Image.Resampling.BICUBIC)
    return np.asarray(half_done.resize((size, size), Image.Resampling.BICUBIC))


def normalised(image: np.ndarray, picture: Picture) -> np.ndarray:
    """(size, size, 3) uint8 as (3, size, size) float32, in standard deviations from the training mean."""
    levels = image.astype(np.float32) / np.float32(255)
    centred = (levels - np.float32(picture.mean)) / np.float32(picture.std)
    return np.ascontiguousarray(centred.transpose(2, 0, 1))

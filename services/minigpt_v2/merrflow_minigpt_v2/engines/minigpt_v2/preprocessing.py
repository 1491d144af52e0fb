"""From a picture of any size to the input of the vision tower."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from merrflow_minigpt_v2.engines.minigpt_v2.architecture import Picture

STRIP_PIXELS = 1 << 25  # largest picture between both passes: 128 MiB


def resize_image(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB as (size, size, 3) uint8.

    Bicubic with the kernel widened when the picture shrinks (antialiased), rounded to whole levels: what torchvision's
    `Resize` does with a PIL image, which is what the model was trained and published with. OpenCV's and torch's own
    bicubic differ by tens of levels. Columns are resized first, as in the Pillow of the model's time; newer versions
    sometimes resize rows first, which changes values by a level. So does this one for a strip of few columns and very
    many rows: resized at its full height, a strip of 1 x 40,000,000 pixels would fill 70 GB.
    """
    height, width = image.shape[:2]
    between = (size, height) if size * height <= STRIP_PIXELS else (width, size)
    half_done = Image.fromarray(image).resize(between, Image.Resampling.BICUBIC)
    return np.asarray(half_done.resize((size, size), Image.Resampling.BICUBIC))


def normalise(image: npt.NDArray[np.uint8], picture: Picture) -> npt.NDArray[np.float32]:
    """(size, size, 3) uint8 as (3, size, size) float32, in standard deviations from the training mean."""
    levels = image.astype(np.float32) / np.float32(255)
    centred = (levels - np.array(picture.mean, np.float32)) / np.array(picture.std, np.float32)
    return np.ascontiguousarray(centred.transpose(2, 0, 1))

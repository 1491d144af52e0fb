"""Small pictures of every frame, straight from the decoder's memory: means of blocks of pixels, then colours.

ffmpeg's own scaling to RGB takes twice as long: it scales to any size, and weighs pixels that lie between two of those.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.video.reformatter import ColorRange

if TYPE_CHECKING:
    from cv2.typing import MatLike

_FULL = frozenset({"yuvj420p", "yuvj422p", "yuvj444p"})  # by their name; others by the frame's range
_PLANAR = frozenset({"yuv420p", "yuv422p", "yuv444p"}) | _FULL  # 8 bits, nothing else in their planes
# Kr and Kb by the number of the matrix (ITU-T H.273, table 4). If the file says nothing (2), BT.601, as for ffmpeg.
_WEIGHTS = {1: (0.2126, 0.0722)} | dict.fromkeys((2, 5, 6), (0.299, 0.114))


def small_size(width: int, height: int, about: int) -> tuple[int, int, int]:
    """Width and height of a picture that is shrunk by a power of 2, and that number.

    The longer side comes as near to `about` pixels as it can, from 0.7 to 1.4 times; never enlarged.
    """
    times = 1 << max(0, round(math.log2(max(width, height) / about)))
    return max(1, width // times), max(1, height // times), times


def block_means(raw: av.VideoFrame, times: int) -> np.ndarray | None:
    """(height // times, width // times, 3) uint8 RGB, not rotated; each pixel is the mean of times x times.

    times: a power of 2. What does not fill a block at the right and lower edge is left out. None if the frame's format,
    matrix or size is none that is known here.
    """
    import cv2  # not by services that only hear

    width, height = raw.width // times, raw.height // times
    if times == 1 or not (width and height) or raw.format.name not in _PLANAR or raw.colorspace not in _WEIGHTS:
        return None
    shrunk = []
    for plane in raw.planes:
        across, down = times * plane.width // raw.width or 1, times * plane.height // raw.height or 1
        if plane.line_size < plane.width:  # upside down in memory
            return None
        memory: Any = plane  # a buffer, which its stubs do not declare
        pixels = np.ndarray((height * down, width * across), np.uint8, memory, 0, (plane.line_size, 1))
        shrunk.append(_means(pixels, across, down))
    full = raw.format.name in _FULL or raw.color_range == ColorRange.JPEG
    return np.asarray(cv2.transform(cv2.merge(shrunk), _to_rgb(raw.colorspace, full)), np.uint8)


def _means(pixels: MatLike, across: int, down: int) -> MatLike:
    """Halved again and again, for which alone OpenCV has a fast way. Each adds up to a quarter of a level."""
    import cv2

    while across > 1 or down > 1:
        step_across, step_down = min(2, across), min(2, down)
        size = pixels.shape[1] // step_across, pixels.shape[0] // step_down
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        across, down = across // step_across, down // step_down
    return pixels


@cache
def _to_rgb(matrix_number: int, full: bool) -> np.ndarray:
    """(3, 4) from Y, Cb, Cr and 1 to R, G, B. full: levels from 0 to 255, else 16 to 235 or 240. Read only."""
    kr, kb = _WEIGHTS[matrix_number]
    kg = 1 - kr - kb
    light, colour, black = (1.0, 1.0, 0.0) if full else (255 / 219, 255 / 224, 16.0)
    red, blue = 2 * (1 - kr) * colour, 2 * (1 - kb) * colour
    matrix = np.array([[light, 0, red], [light, -blue * kb / kg, -red * kr / kg], [light, blue, 0]])
    return np.hstack([matrix, -matrix @ np.array([[black], [128], [128]])])

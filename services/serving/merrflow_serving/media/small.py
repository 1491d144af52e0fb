"""Small pictures of every frame, straight from the decoder's memory: means of blocks of pixels, then colours.

ffmpeg's own scaling to RGB takes twice as long: it scales to any size, and weighs pixels that lie between two of those.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange

_FULL = frozenset({"yuvj420p", "yuvj422p", "yuvj444p"})  # by their name; others by the frame's range
_PLANAR = frozenset({"yuv420p", "yuv422p", "yuv444p"}) | _FULL  # 8 bits, nothing else in their planes
# Kr and Kb by the number of the matrix (ITU-T H.273, table 4). If the file says nothing (2), BT.601, as for ffmpeg.
_WEIGHTS = {1: (0.2126, 0.0722)} | dict.fromkeys((2, 5, 6), (0.299, 0.114))


@lru_cache(maxsize=64)
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

    form, matrix_number = raw.format.name, raw.colorspace
    if times == 1 or form not in _PLANAR or matrix_number not in _WEIGHTS:
        return None
    planes = raw.planes
    chroma = planes[1]
    plan = _plan(raw.width, raw.height, chroma.width, chroma.height, times)
    if not plan:
        return None
    shrunk = []
    for plane, (width, shape, sizes) in zip(planes, plan, strict=True):
        line = plane.line_size
        if line < width:  # upside down in memory
            return None
        memory: Any = plane  # a buffer, which its stubs do not declare
        pixels: Any = np.ndarray(shape, np.uint8, memory, 0, (line, 1))
        for size in sizes:
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        shrunk.append(pixels)
    full = form in _FULL or raw.color_range == ColorRange.JPEG
    return np.asarray(cv2.transform(cv2.merge(shrunk), _to_rgb(matrix_number, full)), np.uint8)


_Plane = tuple[int, tuple[int, int], tuple[tuple[int, int], ...]]


@lru_cache(maxsize=64)
def _plan(width: int, height: int, chroma_width: int, chroma_height: int, times: int) -> tuple[_Plane, ...]:
    """For each plane its width, the (height, width) that fills blocks, and the sizes to shrink it to, in turn.

    The same for all frames of a video, beside whose decoding Python is slow. Empty if there is no whole block.
    """
    columns, rows = width // times, height // times
    if not (columns and rows):
        return ()
    luma = _halvings(columns, rows, times, times)
    across, down = times * chroma_width // width or 1, times * chroma_height // height or 1
    chroma = _halvings(columns, rows, across, down)
    return (width, *luma), (chroma_width, *chroma), (chroma_width, *chroma)


def _halvings(columns: int, rows: int, across: int, down: int) -> tuple[tuple[int, int], tuple[tuple[int, int], ...]]:
    """Halved again and again, for which alone OpenCV has a fast way. Each adds up to a quarter of a level."""
    shape = rows * down, columns * across
    sizes = []
    while across > 1 or down > 1:
        across, down = across // min(2, across), down // min(2, down)
        sizes.append((columns * across, rows * down))
    return shape, tuple(sizes)


@cache
def _to_rgb(matrix_number: int, full: bool) -> np.ndarray:
    """(3, 4) from Y, Cb, Cr and 1 to R, G, B. full: levels from 0 to 255, else 16 to 235 or 240. Read only."""
    kr, kb = _WEIGHTS[matrix_number]
    kg = 1 - kr - kb
    light, colour, black = (1.0, 1.0, 0.0) if full else (255 / 219, 255 / 224, 16.0)
    red, blue = 2 * (1 - kr) * colour, 2 * (1 - kb) * colour
    matrix = np.array([[light, 0, red], [light, -blue * kb / kg, -red * kr / kg], [light, blue, 0]])
    return np.hstack([matrix, -matrix @ np.array([[black], [128], [128]])])

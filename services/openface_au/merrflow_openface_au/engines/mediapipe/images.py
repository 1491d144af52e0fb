"""Crops, tiles, brightening and shot cuts. An `Image` is (height, width, 3) uint8 RGB."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

THUMBNAIL = (48, 27)  # width, height of the pictures that cuts are detected in
MAX_TILES = 16


def in_plain_rows(picture: Image) -> Image:
    """The picture, in memory that OpenCV reads without a copy: there may be gaps between rows, but it is not turned."""
    return picture if picture.strides[0] > 0 and picture.strides[1:] == (3, 1) else np.ascontiguousarray(picture)


def crop_around(image: Image, center: tuple[float, float], side: float) -> tuple[Image, int, int]:
    """The part of a square around `center` that is inside the picture, with its left and top edge in pixels.

    It is contiguous and has at least 8 x 8 pixels if the picture has them.
    """
    left, top, width, height = crop_place(image, center, side)
    return np.ascontiguousarray(image[top : top + height, left : left + width]), left, top


def crop_place(image: Image, center: tuple[float, float], side: float) -> tuple[int, int, int, int]:
    """Left, top, width and height of what `crop_around` cuts out."""
    height, width = image.shape[:2]
    edges = []
    for middle, length in zip(center, (width, height), strict=True):
        low = min(max(round(middle - side / 2), 0), max(length - 8, 0))
        high = min(max(round(middle + side / 2), low + 8), length)
        edges.append((low, high))
    (left, right), (top, bottom) = edges
    return left, top, right - left, bottom - top


def warp(image: Image, matrix: npt.NDArray[np.float64], side: int, *, is_black_outside: bool = False) -> Image:
    """(side, side, 3): each pixel from where `matrix` (2, 3) takes its place to in `image`, by linear interpolation.

    Beyond the picture's edge its last pixels are repeated, or it is black.
    """
    import cv2

    border = cv2.BORDER_CONSTANT if is_black_outside else cv2.BORDER_REPLICATE
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), flags=how, borderMode=border), np.uint8)


def shrink(image: Image, longest: int) -> tuple[Image, float]:
    """The picture with its longer side at most `longest` pixels, and the factor it was scaled by."""
    import cv2

    factor = longest / max(image.shape[:2])
    if factor >= 1:
        return np.ascontiguousarray(image), 1.0
    size = (max(round(image.shape[1] * factor), 1), max(round(image.shape[0] * factor), 1))
    how = cv2.INTER_AREA if factor < 0.5 else cv2.INTER_LINEAR  # the first is 3 times slower
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8), factor


def brightness(image: Image) -> float:
    """Mean luma, 0 to 255 (BT.601), from a grid of about 32 x 32 pixels."""
    import cv2

    step = max(min(image.shape[:2]) // 32, 1)
    red, green, blue, _ = cv2.mean(image[::step, ::step])
    return float(0.299 * red + 0.587 * green + 0.114 * blue)


def brighten(image: Image, target: float) -> Image:
    """Brings the mean luma to about `target`; contrast in the shadows grows, highlights stay."""
    import cv2

    return np.asarray(cv2.LUT(np.ascontiguousarray(image), brightening(image, target)), np.uint8)


def brightening(image: Image, target: float) -> npt.NDArray[np.uint8]:
    """(256,) by value: the gamma that brings the mean luma of `image` to about `target`."""
    mean = min(max(brightness(image), 4.0), 250.0)
    gamma = min(max(math.log(target / 255) / math.log(mean / 255), 0.35), 1.0)
    return np.asarray(((np.arange(256) / 255.0) ** gamma * 255).round(), np.uint8)


def tiles(width: int, height: int, *, fine: bool = False) -> list[tuple[int, int, int]]:
    """Overlapping squares (left, top, side) that cover a picture, at most `MAX_TILES`.

    In a tile the detector sees a face 1.7 to 2.4 times as large as in the whole of a common picture; with `fine`,
    about 3 times.
    """
    side = min(width, height, int(0.6 * max(width, height)))
    side = max(int(0.55 * side) if fine else side, 1)
    counts = [1 + math.ceil(max(length - side, 0) / (0.65 * side)) for length in (width, height)]
    counts = [min(count, max(MAX_TILES // min(counts), 1)) for count in counts]
    edges = [
        [round(i * (length - side) / max(count - 1, 1)) for i in range(count)]
        for length, count in zip((width, height), counts, strict=True)
    ]
    return [(left, top, side) for top in edges[1] for left in edges[0]]


class CutDetector:
    """Detects the first frame of a new shot on thumbnails. One for each video; give it every frame in order.

    A false positive only costs a new search for faces; a missed cut is caught by the next search.
    """

    def __init__(self, threshold: float, ratio: float) -> None:
        """threshold: mean absolute change of the thumbnail, 0 to 255. ratio: times the usual change."""
        self._threshold = threshold
        self._ratio = ratio
        self._last: npt.NDArray[np.float32] | None = None
        self._usual = 0.0

    def is_cut(self, image: Image) -> bool:
        """True if this frame begins a new shot; the first frame of a video does not."""
        import cv2

        step = max(min(image.shape[0] // THUMBNAIL[1], image.shape[1] // THUMBNAIL[0]) // 4, 1)
        thumbnail = cv2.resize(
            np.ascontiguousarray(image[::step, ::step]), THUMBNAIL, interpolation=cv2.INTER_AREA
        ).astype(np.float32)
        last, self._last = self._last, thumbnail
        if last is None:
            return False
        change = float(np.abs(thumbnail - last).mean())
        cut = change > self._threshold and change > self._ratio * self._usual
        if not cut:
            self._usual = 0.8 * self._usual + 0.2 * change
        return cut

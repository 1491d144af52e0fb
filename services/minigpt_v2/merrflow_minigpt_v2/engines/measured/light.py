"""Light, colour and sharpness of a picture, in CIELAB (CIE 15:2018, D65), which is close to perception."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

SIDE = 480  # pixels; larger pictures are shrunk: means over regions need no more
BAR = 20  # grey levels; rows and columns darker throughout are letterbox bars
MAX_BARS = 0.3  # of a side; wider dark edges are a dark picture

Box = tuple[float, float, float, float]  # x, y, width, height in pixels
Image = npt.NDArray[np.uint8]  # (height, width, 3) RGB
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Light:
    """Means over the picture without its letterbox bars."""

    lightness: float  # mean L*, 0 (black) to 100 (white)
    contrast: float  # standard deviation of L*
    dark_share: float  # of the pixels with L* below 20
    warmth: float  # mean b*: positive yellow, negative blue
    green_red: float  # mean a*: positive red, negative green
    chroma: float  # mean C*ab: 0 for grey
    sharpness: float  # variance of the Laplacian of L* at 480 pixels (Pech-Pacheco et al. 2000)
    face_difference: float | None  # L* of the face less that of its surroundings


def active_area(image: Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the picture inside its letterbox bars."""
    bright = image.max(axis=2)
    rows, columns = np.percentile(bright, 98, axis=1) > BAR, np.percentile(bright, 98, axis=0) > BAR
    top, bottom = _inside(rows)
    left, right = _inside(columns)
    return left, top, right, bottom


def _inside(lit: npt.NDArray[Any]) -> tuple[int, int]:
    size = len(lit)
    at = np.flatnonzero(lit)
    if not len(at):
        return 0, size
    first, last = int(at[0]), int(at[-1]) + 1
    limit = MAX_BARS * size
    return (first if first < limit else 0), (last if size - last < limit else size)


def lab(image: Image) -> Floats:
    """(height, width, 3) sRGB as L*, a*, b*."""
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def measure_light(image: Image, face: Box | None) -> Light:
    """Light of a (height, width, 3) RGB picture; `face` is a box in its pixels."""
    left, top, right, bottom = active_area(image)
    area = image[top:bottom, left:right]
    factor = min(1.0, SIDE / max(area.shape[:2]))
    if factor < 1:
        size = (max(1, round(area.shape[1] * factor)), max(1, round(area.shape[0] * factor)))
        area = np.asarray(cv2.resize(area, size, interpolation=cv2.INTER_AREA), np.uint8)
    values = lab(area)
    lightness = values[..., 0]
    difference = None
    if face is not None:
        box = ((face[0] - left) * factor, (face[1] - top) * factor, face[2] * factor, face[3] * factor)
        difference = _face_difference(lightness, box)
    return Light(
        lightness=float(lightness.mean()),
        contrast=float(lightness.std()),
        dark_share=float((lightness < 20).mean()),
        warmth=float(values[..., 2].mean()),
        green_red=float(values[..., 1].mean()),
        chroma=float(np.hypot(values[..., 1], values[..., 2]).mean()),
        sharpness=float(cv2.Laplacian(lightness, cv2.CV_32F).var()),
        face_difference=difference,
    )


def _face_difference(lightness: Floats, face: Box) -> float | None:
    """Median L* of the inner face less the median beside and above it; None if nothing surrounds it."""
    x, y, width, height = face
    inner = _cut(lightness, x + 0.2 * width, y + 0.2 * height, x + 0.8 * width, y + 0.85 * height)
    # Hair frames the face, so the surroundings start half a face width away from it.
    sides = [
        _cut(lightness, x - 1.5 * width, y - 0.5 * height, x - 0.5 * width, y + height),
        _cut(lightness, x + 1.5 * width, y - 0.5 * height, x + 2.5 * width, y + height),
    ]
    around = np.concatenate([side.ravel() for side in sides])
    if inner.size < 16 or around.size < inner.size / 2:
        return None
    return float(np.median(inner) - np.median(around))


def _cut(values: Floats, left: float, top: float, right: float, bottom: float) -> Floats:
    height, width = values.shape
    return values[
        int(np.clip(top, 0, height)) : int(np.clip(bottom, 0, height)),
        int(np.clip(left, 0, width)) : int(np.clip(right, 0, width)),
    ]

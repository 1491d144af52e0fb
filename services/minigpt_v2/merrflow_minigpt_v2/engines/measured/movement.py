"""Movement around a frame: how the camera moves, and how the person moves relative to it.

Dense optical flow (Farneback 2003) between neighbouring frames. The median flow of the textured background is the
camera's; the rest of the flow in the person's region is the person's. Pairs across a shot cut are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

SIDE = 224  # pixels of the longer side
CUT = 0.5  # correlation of the grey histograms below which two frames are of different shots
LONGEST = 1.0  # seconds between two frames; with more, what happened between them is unknown
TEXTURE = 6.0  # grey levels of gradient; flow on smooth areas is not reliable
MIN_SHARE = 0.02  # of the pixels that must be usable in a region

Box = tuple[float, float, float, float]  # x, y, width, height
Image = npt.NDArray[np.uint8]  # (height, width, 3) RGB
Grey = npt.NDArray[np.uint8]  # (height, width)
Mask = npt.NDArray[np.bool_]  # (height, width)


@dataclass(frozen=True)
class Movement:
    """Speeds over all usable pairs of frames; None if they cannot be measured."""

    camera: float | None  # picture widths a second
    person: float | None  # face heights a second, 75th percentile over the face and upper body
    pairs: int  # pairs of frames used


def measure_movement(frames: Sequence[tuple[float, Image]], face: Box | None) -> Movement:
    """Movement over frames as (seconds, (height, width, 3) RGB) in order of time.

    face: box as shares of the picture (x, y, width, height), at the described frame.
    """
    if len(frames) < 2:
        return Movement(None, None, 0)
    height, width = frames[0][1].shape[:2]
    factor = SIDE / max(height, width)
    size = (max(16, round(width * factor)), max(16, round(height * factor)))
    small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for _, image in frames]
    grey = [np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) for image in small]
    times = [time for time, _ in frames]
    face_area, person_area = _regions(size, face)
    camera, person = [], []
    for before, after, a, b in zip(times, times[1:], grey, grey[1:], strict=False):
        seconds = after - before
        if not 0 < seconds <= LONGEST or is_cut(a, b):
            continue
        flow = cv2.calcOpticalFlowFarneback(a, b, np.zeros((*a.shape, 2), np.float32), 0.5, 4, 15, 3, 7, 1.5, 0)
        textured = _textured(a)
        background = textured & ~person_area
        if background.mean() < MIN_SHARE:
            background = textured if face is None else background
        shift = np.median(flow[background], axis=0) if background.mean() >= MIN_SHARE else None
        if shift is not None:
            camera.append(float(np.linalg.norm(shift)) / size[0] / seconds)
        inside = textured & face_area
        if face is not None and inside.any():
            rest = np.linalg.norm(flow[inside] - (0 if shift is None else shift), axis=1)
            person.append(float(np.percentile(rest, 75)) / (face[3] * size[1]) / seconds)
    return Movement(_mean(camera), _mean(person), max(len(camera), len(person)))


def is_cut(a: Grey, b: Grey) -> bool:
    """Whether two grey pictures belong to different shots."""
    one, two = (cv2.calcHist([image], [0], None, [32], [0, 256]) for image in (a, b))
    if one.max() == one.sum() and two.max() == two.sum():  # two flat pictures have no correlation
        return bool(abs(int(a[0, 0]) - int(b[0, 0])) > 64)
    return float(cv2.compareHist(one, two, cv2.HISTCMP_CORREL)) < CUT


def _textured(grey: Grey) -> Mask:
    return np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)) / 4 > TEXTURE


def _regions(size: tuple[int, int], face: Box | None) -> tuple[Mask, Mask]:
    """The face with its shoulders, and everything that may belong to the person."""
    width, height = size
    upper, whole = np.zeros((height, width), bool), np.zeros((height, width), bool)
    if face is not None:
        x, y, across, down = face[0] * width, face[1] * height, face[2] * width, face[3] * height
        _fill(upper, x - 0.5 * across, y - 0.3 * down, x + 1.5 * across, y + 2 * down)
        _fill(whole, x - 1.2 * across, y - 0.6 * down, x + 2.2 * across, height)
    return upper, whole


def _fill(mask: Mask, left: float, top: float, right: float, bottom: float) -> None:
    mask[int(max(0, top)) : int(max(0, bottom)) + 1, int(max(0, left)) : int(max(0, right)) + 1] = True


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None

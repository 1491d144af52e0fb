"""Shot cuts: changes of the whole picture that are sudden against what is around them, and last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from merrflow.core.measurements import Shot
from merrflow_serving.media.video import VideoFrame

WINDOW = 4  # frames on either side, whose mean change a cut exceeds
EXCESS = 3.0  # times that mean; PySceneDetect's own
LEAST_CHANGE = 15.0  # mean HSV change, of 255; PySceneDetect's own
LASTING = 0.4  # seconds; a scene that is back after this was lit by a flash, or hidden
ALIKE = 0.7  # correlation of two pictures from which on they show the same scene, in whatever light
_COARSE = (32, 18)  # pixels, of what is correlated: shakes of a few per cent of the picture hardly show
_PLAIN = 2.0  # of 255; pictures whose contrast (standard deviation) is lower have nothing to be compared by
Vector: TypeAlias = NDArray[np.float32]


class Cuts:
    """Finds cuts while a clip is decoded.

    The rule of PySceneDetect's adaptive detector finds changes that stand out from the movement around them. Flashes,
    lights that are switched and jolts of the camera are among them; so a change counts only if no picture shortly
    before it is like one shortly after it.
    """

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None  # width and height of what is compared, the first frame's
        self._last: MatLike | None = None  # the frame before, in HSV
        self._scores: deque[float] = deque(maxlen=2 * WINDOW + 1)  # of the newest frames: change from the one before
        self._changes: list[int] = []  # frames that may begin a shot, still to be judged
        self._recent: deque[tuple[int, float, MatLike]] = deque()  # number, seconds, picture
        self._cuts: list[int] = []

    def add(self, frame: VideoFrame) -> None:
        """Takes the next frame."""
        small: MatLike = frame.small
        if self._size is None:
            self._size = small.shape[1], small.shape[0]
        elif self._size != (small.shape[1], small.shape[0]):  # recordings of television change their size on the way
            small = cv2.resize(small, self._size, interpolation=cv2.INTER_AREA)
        self._recent.append((frame.index, frame.timestamp, small))
        hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
        self._scores.append(0.0 if self._last is None else cv2.norm(hsv, self._last, cv2.NORM_L1) / hsv.size)
        self._last = hsv
        if _stands_out(self._scores):
            self._changes.append(frame.index - WINDOW)
        self._judge(frame.timestamp)
        first = self._changes[0] if self._changes else frame.index - WINDOW
        if self._recent[0][0] < first:
            old = self._time(first) - LASTING
            while self._recent[0][0] < first and self._recent[0][1] < old:
                self._recent.popleft()

    def shots(self, count: int) -> Iterator[Shot]:
        """The shots of a clip of `count` frames, all of which were added."""
        self._judge(float("inf"))
        edges = [0, *(cut for cut in self._cuts if 0 < cut < count), count]
        for start, end in pairwise(edges):
            yield Shot(start, end)

    def _time(self, index: int) -> float:
        return next((time for number, time, _ in self._recent if number >= index), 0.0)

    def _judge(self, now: float) -> None:
        """Decides on the changes of which enough is seen."""
        while self._changes and (at := self._time(self._changes[0])) + LASTING <= now:
            change = self._changes.pop(0)
            before = [_coarse(seen) for index, time, seen in self._recent if index < change and time >= at - LASTING]
            after = [_coarse(seen) for index, time, seen in self._recent if index >= change and time <= at + LASTING]
            if not before or not after or np.max(np.stack(before) @ np.stack(after).T) < ALIKE:
                self._cuts.append(change)


def _stands_out(scores: Sequence[float]) -> bool:
    """Whether the frame in the middle changes more than those around it (PySceneDetect 0.7, `AdaptiveDetector`)."""
    if len(scores) <= 2 * WINDOW or scores[WINDOW] < LEAST_CHANGE:
        return False
    return scores[WINDOW] >= EXCESS * (sum(scores) - scores[WINDOW]) / (2 * WINDOW)


def _coarse(picture: MatLike) -> Vector:
    """A (n,) float32 vector; the product of two is their correlation. Zeros for a picture without any contrast."""
    small: Vector = cv2.resize(picture, _COARSE, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    length = np.linalg.norm(small)
    return np.divide(small, length) if length > _PLAIN * np.sqrt(small.size) else np.zeros_like(small)

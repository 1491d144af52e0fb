"""Shot cuts: changes of the whole picture that are sudden against what is around them, and last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from merrflow.core.measurements import Shot
from merrflow.stages.arrays import Picture
from merrflow_serving.media.video import VideoFrame

WIDTH = 160  # pixels; cuts show at any size, and small frames are quick
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

    PySceneDetect's adaptive detector finds changes that stand out from the movement around them. Flashes, lights that
    are switched and jolts of the camera are among them; so a change counts only if no picture shortly before it is
    like one shortly after it.
    """

    def __init__(self) -> None:
        self._detector = AdaptiveDetector(
            adaptive_threshold=EXCESS, min_scene_len=1, window_width=WINDOW, min_content_val=LEAST_CHANGE
        )
        self._size: tuple[int, int] | None = None  # width and height of what is compared, the first frame's
        self._changes: list[int] = []  # frames that may begin a shot, still to be judged
        self._recent: deque[tuple[int, float, Vector]] = deque()  # number, seconds, coarse picture
        self._cuts: list[int] = []

    def add(self, frame: VideoFrame) -> None:
        """Takes the next frame."""
        small = np.ascontiguousarray(frame.scaled(WIDTH)[..., ::-1])
        if self._size is None:
            self._size = small.shape[1], small.shape[0]
        elif self._size != (small.shape[1], small.shape[0]):  # recordings of television change their size on the way
            small = cv2.resize(small, self._size, interpolation=cv2.INTER_AREA)
        self._recent.append((frame.index, frame.timestamp, _coarse(small)))
        time = FrameTimecode(frame.index, fps=25.0)  # only counts frames here
        self._changes += [cut.frame_num for cut in self._detector.process_frame(time, small)]
        self._judge(frame.timestamp)
        first = self._changes[0] if self._changes else frame.index - WINDOW
        while self._recent[0][0] < first and self._recent[0][1] < self._time(first) - LASTING:
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
            before = [seen for index, time, seen in self._recent if index < change and time >= at - LASTING]
            after = [seen for index, time, seen in self._recent if index >= change and time <= at + LASTING]
            if not before or not after or np.max(np.stack(before) @ np.stack(after).T) < ALIKE:
                self._cuts.append(change)


def _coarse(picture: Picture) -> Vector:
    """A (n,) float32 vector; the product of two is their correlation. Zeros for a picture without any contrast."""
    small: Vector = cv2.resize(picture, _COARSE, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    length = np.linalg.norm(small)
    return np.divide(small, length) if length > _PLAIN * np.sqrt(small.size) else np.zeros_like(small)

"""The bottoms of frames that are read for subtitles. Thresholds and their reasons: `burned_in.yaml`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from merrflow.stages.arrays import Picture
from merrflow_serving.media.video import VideoFrame, iter_frames

_MOST_PIXELS = 1 << 20  # of a sample, for pictures that are many times as high as wide
_MOST_BYTES = 256 << 20  # of all samples of a clip; those of 1280 x 216 pixels take 200 MB at most


@cache
def rules() -> Mapping[str, Any]:
    """The thresholds of `burned_in.yaml`."""
    found: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("burned_in.yaml").read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class TextSample:
    """The bottom of one frame. Lengths are pixels of `image`, which may be smaller than the video's."""

    timestamp: float  # seconds from the first frame
    image: Picture  # (height - top, width, 3)
    top: int  # row of the frame at which the crop starts
    width: int  # of the whole frame
    height: int  # of the whole frame


def wanted(timestamp: float, last: float | None, interval: float | None = None) -> bool:
    """Whether a frame at `timestamp` seconds becomes a sample, given when the last one was taken."""
    interval = interval or rules()["sampling"]["seconds"]
    return last is None or timestamp - last >= interval - 1e-3


def take_sample(image: Picture, timestamp: float) -> TextSample:
    """The bottom of a frame."""
    sampling = rules()["sampling"]
    height, width = image.shape[:2]
    crop = image[min(height - 1, round(height * (1 - sampling["bottom"]))) :]
    factor = min(1.0, sampling["max_width"] / width, math.sqrt(_MOST_PIXELS / (crop.shape[0] * width)))
    if factor < 1:
        size = (max(1, round(width * factor)), max(1, round(crop.shape[0] * factor)))
        crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    height, width = max(crop.shape[0], round(height * factor)), crop.shape[1]
    # A copy: a view would keep the whole frame in memory.
    return TextSample(timestamp, np.array(crop, order="C"), height - crop.shape[0], width, height)


class Sampler:
    """Collects samples while a clip is decoded; frames in between are never converted to RGB."""

    def __init__(self) -> None:
        self.samples: list[TextSample] = []
        self._interval: float = rules()["sampling"]["seconds"]
        self._last: float | None = None
        self._bytes = 0

    def add(self, frame: VideoFrame) -> None:
        """Keeps the frame's bottom if it is due."""
        if not wanted(frame.timestamp, self._last, self._interval):
            return
        self._last = frame.timestamp
        self.samples.append(take_sample(frame.image, frame.timestamp))
        self._bytes += self.samples[-1].image.nbytes
        if len(self.samples) > rules()["sampling"]["max_samples"] or self._bytes > _MOST_BYTES:
            self.samples = self.samples[::2]
            self._bytes = sum(sample.image.nbytes for sample in self.samples)
            self._interval *= 2


def read_samples(path: Path, *, max_pixels: int, threads: int = 0) -> tuple[TextSample, ...]:
    """The samples of a clip that `probe.decode` has read before. Blocking. Raises as `iter_frames`."""
    sampler = Sampler()
    for frame in iter_frames(path, max_pixels=max_pixels, threads=threads):
        sampler.add(frame)
    return tuple(sampler.samples)

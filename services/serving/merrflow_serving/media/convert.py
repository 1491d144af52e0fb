"""Converts ffmpeg's frames to RGB, without making ffmpeg prepare the same conversion again for each frame."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

_MOST_SIZES = 8  # conversions kept; a video needs two or three


class Converter:
    """Scales and converts the frames of one video. To be used on the thread that decodes.

    libswscale prepares filters for each pair of sizes, which takes longer than converting a small picture: 0.6 to 1 ms
    per frame for the 160 pixels used to find shot cuts. A frame's own `to_ndarray` prepares them every time, with as
    many threads as there are cores. The pixels are the same.
    """

    def __init__(self) -> None:
        self._plans: dict[tuple[int, int], VideoReformatter] = {}

    def view(self, raw: av.VideoFrame, width: int, height: int) -> np.ndarray:
        """(height, width, 3) uint8 RGB, not rotated. Rows may not be contiguous; the array keeps its memory alive."""
        plan = self._plans.get((width, height))
        if plan is None:
            if len(self._plans) >= _MOST_SIZES:
                self._plans.clear()
            plan = self._plans[width, height] = VideoReformatter()
        converted = plan.reformat(raw, width=width, height=height, format="rgb24", threads=1)
        plane: Any = converted.planes[0]  # a buffer, which its stubs do not declare
        return np.ndarray((height, width, 3), np.uint8, plane, 0, (plane.line_size, 3, 1))

"""From ffmpeg's pictures to RGB, without making ffmpeg plan the same conversion again for each frame."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter

_MOST_SIZES = 8  # conversions kept; a video asks for two or three


class Converter:
    """Scales and converts the frames of one video. It belongs to the thread that decodes.

    libswscale prepares filters for each pair of sizes, which costs more than a small picture itself: 0.6 to 1 ms a
    frame for the 160 pixels of the shot cuts. A frame's own `to_ndarray` does so every time, and with as many threads
    as there are cores. The pixels are the same.
    """

    def __init__(self) -> None:
        self._plans: dict[tuple[int, int], VideoReformatter] = {}

    def view(self, raw: av.VideoFrame, width: int, height: int) -> np.ndarray:
        """(height, width, 3) uint8 RGB, not turned. Rows may lie apart in memory; the array keeps that memory alive."""
        plan = self._plans.get((width, height))
        if plan is None:
            if len(self._plans) >= _MOST_SIZES:
                self._plans.clear()
            plan = self._plans[width, height] = VideoReformatter()
        converted = plan.reformat(raw, width=width, height=height, format="rgb24", threads=1)
        plane = converted.planes[0]
        return np.ndarray((height, width, 3), np.uint8, plane, 0, (plane.line_size, 3, 1))

"""Converts ffmpeg's frames to RGB, without making ffmpeg prepare the same conversion again for each frame."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from merrflow_serving.media.colours import map_to_sdr, needs_mapping

_MOST_SIZES = 8  # conversions kept; a video needs two or three


class Converter:
    """Scales and converts the frames of one video. To be used on the thread that decodes.

    libswscale prepares filters for each pair of sizes, which takes longer than converting a small picture: 0.6 to 1 ms
    per frame for the 160 pixels used to find shot cuts. A frame's own `to_ndarray` prepares them every time, with as
    many threads as there are cores. The pixels are the same.
    """

    def __init__(self) -> None:
        self._plans: dict[tuple[int, int, Interpolation | None], VideoReformatter] = {}

    def view(self, raw: av.VideoFrame, width: int, height: int, how: Interpolation | None = None) -> np.ndarray:
        """(height, width, 3) uint8 RGB, not rotated. Rows may not be contiguous; the array keeps its memory alive.

        High dynamic range becomes SDR; what is transparent is black. how: AREA takes half the time of BICUBIC; each
        pixel is then the mean of those that it covers.
        """
        if needs_mapping(raw):
            return map_to_sdr(self._view(raw, width, height, "rgb48le", how), raw)
        if any(component.is_alpha for component in raw.format.components):
            picture = self._view(raw, width, height, "rgba", how).astype(np.uint16)
            return ((picture[..., :3] * picture[..., 3:] + 127) // 255).astype(np.uint8)
        return self._view(raw, width, height, "rgb24", how)

    def _view(self, raw: av.VideoFrame, width: int, height: int, kind: str, how: Interpolation | None) -> np.ndarray:
        plan = self._plans.get((width, height, how))
        if plan is None:
            if len(self._plans) >= _MOST_SIZES:
                self._plans.clear()
            plan = self._plans[width, height, how] = VideoReformatter()
        converted = plan.reformat(raw, width=width, height=height, format=kind, interpolation=how, threads=1)
        plane: Any = converted.planes[0]  # a buffer, which its stubs do not declare
        dtype, channels = np.dtype("<u2" if kind == "rgb48le" else np.uint8), 4 if kind == "rgba" else 3
        strides = (plane.line_size, channels * dtype.itemsize, dtype.itemsize)
        return np.ndarray((height, width, channels), dtype, plane, 0, strides)

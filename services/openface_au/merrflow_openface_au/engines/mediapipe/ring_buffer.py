"""Reused memory for the pictures of a video.

Fresh memory for each picture is the most expensive part of decoding: the system hands it out page by page, 1 ms for
0.9 MB and 5 ms for 6 MB if it is slow at it. Faces are searched one segment ahead of tracking them, so a known number
of pictures is held at once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.mediapipe.images import Image


class PictureRing:
    """Keeps the latest `count` pictures and overwrites older ones. Not thread-safe."""

    def __init__(self, count: int) -> None:
        self._slots: list[npt.NDArray[np.uint8] | None] = [None] * count
        self._next = 0

    def keep(self, picture: Image) -> Image:
        """A contiguous copy of (height, width, 3), valid until `count` more pictures were kept."""
        slot = self._slots[self._next]
        if slot is None or slot.size < picture.size or slot.size > 4 * picture.size:  # no 4K memory for small videos
            slot = self._slots[self._next] = np.empty(picture.size, np.uint8)
        self._next = (self._next + 1) % len(self._slots)
        kept = slot[: picture.size].reshape(picture.shape)
        np.copyto(kept, picture)
        return kept

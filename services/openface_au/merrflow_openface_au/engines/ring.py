"""Memory for the pictures of a video, used again and again.

Fresh memory for each picture is the dearest part of decoding: the system hands it out page by page, 1 ms for 0.9 MB
and 5 ms for 6 MB where it is slow at it. Faces are searched one stretch ahead of following them, so a known number of
pictures is held at once.
"""

from __future__ import annotations

import numpy as np


class PictureRing:
    """Keeps the latest `count` pictures; the one before them is written over. One thread uses it."""

    def __init__(self, count: int) -> None:
        self._slots: list[np.ndarray | None] = [None] * count
        self._next = 0

    def keep(self, picture: np.ndarray) -> np.ndarray:
        """A contiguous copy of (height, width, 3) uint8, valid until `count` more were kept."""
        slot = self._slots[self._next]
        if slot is None or slot.size < picture.size or slot.size > 4 * picture.size:  # no 4K memory for small videos
            slot = self._slots[self._next] = np.empty(picture.size, np.uint8)
        self._next = (self._next + 1) % len(self._slots)
        kept = slot[: picture.size].reshape(picture.shape)
        np.copyto(kept, picture)
        return kept

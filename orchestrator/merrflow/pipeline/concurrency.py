"""How many clips are in work at the same time."""

from __future__ import annotations

from collections.abc import Iterable

FEWEST, MOST = 4, 512
CLIP_BYTES = 50 << 20  # at most, for a decoded clip of some seconds with its sound and its samples for OCR


def clips_at_once(rooms: Iterable[int], free_bytes: int) -> int:
    """Enough to keep every service busy, but no more than half of the free memory holds.

    rooms: how many calls each service takes at once: one batch in work and one waiting. A clip visits one service after
    the other, so the slowest stays busy only if the others can be full too. Four more clips are decoded meanwhile.
    """
    return max(FEWEST, min(FEWEST + sum(rooms), free_bytes // 2 // CLIP_BYTES, MOST))

"""How many clips are in work at the same time."""

from __future__ import annotations

from collections.abc import Iterable

FEWEST, MOST = 4, 512
CLIP_BYTES = 50 << 20  # that a decoded clip of some seconds takes at most, with its sound and its samples for OCR


def clips_at_once(rooms: Iterable[int], free_bytes: int) -> int:
    """As many as keep every service busy, and as half of the free memory holds.

    rooms: calls that each service takes at once, a batch in work and one waiting. A clip is with one of them after the
    other, so the slowest is busy only where the others can be full too; four more are decoded meanwhile.
    """
    return max(FEWEST, min(FEWEST + sum(rooms), free_bytes // 2 // CLIP_BYTES, MOST))

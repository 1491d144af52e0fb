"""When an expression is shown, and for how long, from the nearness in each frame."""

from __future__ import annotations

from collections.abc import Mapping


def lasting(nearness: Mapping[int, float], half: int) -> tuple[int, float]:
    """The frame to look at, and the nearness that lasts: the median over `half` frames on either side and this one.

    So a slip of the tracker in a frame or two does not count. Frames in which the person is not seen, or that the clip
    does not have, count as 0. `nearness` by frame number, not empty; of equal frames the earliest is taken.
    """
    best, most = -1, -1.0
    for frame in sorted(nearness):
        near = sorted(nearness.get(other, 0.0) for other in range(frame - half, frame + half + 1))
        if near[half] > most or (near[half] == most and nearness[frame] > nearness[best]):
            best, most = frame, near[half]
    around = [frame for frame in range(best - half, best + half + 1) if frame in nearness]
    return max(around, key=lambda frame: (nearness[frame], -frame)), most


def held(nearness: Mapping[int, float], frame: int, least: float) -> int:
    """Frames in a row, this one among them, with at least this nearness."""
    first = last = frame
    while nearness.get(first - 1, -1.0) >= least:
        first -= 1
    while nearness.get(last + 1, -1.0) >= least:
        last += 1
    return last - first + 1

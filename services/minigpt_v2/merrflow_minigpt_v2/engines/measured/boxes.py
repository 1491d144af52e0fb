"""Boxes in a picture, and how they lie over each other."""

from __future__ import annotations

import math

Box = tuple[float, float, float, float]  # x, y, width, height in pixels


def common_area(a: Box, b: Box) -> float:
    """Square pixels that are in both boxes."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0.0, across) * max(0.0, down)


def overlap(a: Box, b: Box) -> float:
    """Intersection over the smaller box, so that a thing and a part of it count as one."""
    return common_area(a, b) / max(1e-9, min(a[2] * a[3], b[2] * b[3]))


def share_inside(a: Box, b: Box) -> float:
    """The share of `a` that is inside `b`."""
    return common_area(a, b) / max(1e-9, a[2] * a[3])


def scaled(box: Box, factor: float) -> Box:
    """The same box in a picture that is `factor` times as large."""
    return (box[0] * factor, box[1] * factor, box[2] * factor, box[3] * factor)


def windows(width: int, height: int, zoom: float) -> tuple[tuple[int, int, int], ...]:
    """Overlapping squares (left, top, side) over a picture; `side` is the shorter side over `zoom`.

    They are squares because the detectors fit their input into one. Neighbours overlap by at least half, so that a face
    smaller than that is complete in one of them.
    """
    side = max(1, round(min(width, height) / zoom))

    def starts(length: int) -> list[int]:
        steps = math.ceil(2 * (length - side) / side)
        return [round((length - side) * i / steps) for i in range(steps + 1)] if steps else [0]

    return tuple((left, top, side) for top in starts(height) for left in starts(width))


def cut_off(box: Box, window: tuple[int, int, int], picture: tuple[int, int], margin: float = 0) -> bool:
    """Whether a box reaches beyond its window, or to within `margin` pixels of an edge at which the picture goes on."""
    for near, length, start, whole in (
        (box[0], box[2], window[0], picture[0]),
        (box[1], box[3], window[1], picture[1]),
    ):
        end = start + window[2]
        if (near < start + margin and start > 0) or (near + length > end - margin and end < whole):
            return True
    return False

"""Boxes: how they lie over each other, and the windows through which a picture is looked at."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_minigpt_v2.engines.measured.boxes import cut_off, overlap, share_inside, windows


@pytest.mark.parametrize("zoom", [1.0, 1.5, 2.0, 3.0])
def test_windows_cover_the_picture_and_overlap_by_half(zoom):
    parts = windows(640, 360, zoom)
    seen = np.zeros((360, 640), int)
    for left, top, side in parts:
        assert left + side <= 640 and top + side <= 360
        seen[top : top + side, left : left + side] += 1
    assert seen.min() >= 1
    for starts in ({part[0] for part in parts}, {part[1] for part in parts}):
        assert max(np.diff(sorted(starts)), default=0) <= parts[0][2] / 2 + 1


def test_overlap_is_of_the_smaller_box_and_share_of_the_first():
    small, large = (40, 40, 10, 10), (0, 0, 100, 100)
    assert overlap(small, large) == overlap(large, small) == 1
    assert share_inside(small, large) == 1 and share_inside(large, small) == pytest.approx(0.01)
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(0.5)
    assert overlap((0, 0, 10, 10), (20, 0, 10, 10)) == 0


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ((120, 20, 50, 50), False),
        ((95, 20, 50, 50), True),  # over the left edge of the window
        ((103, 20, 50, 50), True),  # within the margin
        ((160, 20, 50, 50), False),  # at the right edge, where the picture ends too
        ((120, 0, 50, 100), False),
    ],
)
def test_a_box_is_cut_off_only_where_the_picture_goes_on(box, cut):
    assert cut_off(box, (100, 0, 100), (200, 100), margin=5) == cut

"""The histogram of oriented gradients, against Felzenszwalb's definition written out pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from merrflow_openface_au.engines.openface_predictors.hog import HogGrid


def plainly(picture: np.ndarray) -> np.ndarray:
    """(cells - 2, cells - 2, 31), one pixel after the other."""
    side, cell = len(picture), 8
    cells = side // cell
    histogram = np.zeros((cells + 2, cells + 2, 18))
    directions = [(round(math.cos(k * math.pi / 9), 4), round(math.sin(k * math.pi / 9), 4)) for k in range(9)]
    for y in range(1, side - 1):
        for x in range(1, side - 1):
            best = (-1.0, 0.0, 0.0)
            for c in range(3):
                dx = float(picture[y, x + 1, c]) - float(picture[y, x - 1, c])
                dy = float(picture[y + 1, x, c]) - float(picture[y - 1, x, c])
                best = max(best, (dx * dx + dy * dy, dx, dy), key=lambda one: one[0])
            length, dx, dy = math.sqrt(best[0]), best[1], best[2]
            most, chosen = 0.0, 0
            for k, (u, v) in enumerate(directions):
                along = np.float32(np.float32(dx) * np.float32(u) + np.float32(dy) * np.float32(v))
                if along > most:
                    most, chosen = along, k
                elif -along > most:
                    most, chosen = -along, k + 9
            row, column = (y + 0.5) / cell - 0.5, (x + 0.5) / cell - 0.5
            top, left = math.floor(row), math.floor(column)
            for i, a in ((0, 1 - (row - top)), (1, row - top)):
                for j, b in ((0, 1 - (column - left)), (1, column - left)):
                    histogram[top + 1 + i, left + 1 + j, chosen] += a * b * length
    unsigned = histogram[..., :9] + histogram[..., 9:]
    energy = (unsigned**2).sum(axis=2)[1:-1, 1:-1]
    found = np.zeros((cells - 2, cells - 2, 31))
    for y in range(cells - 2):
        for x in range(cells - 2):
            values = histogram[y + 2, x + 2]
            for place, (i, j) in enumerate(((1, 1), (0, 1), (1, 0), (0, 0))):
                block = energy[y + i : y + i + 2, x + j : x + j + 2].sum()
                scale = 1 / math.sqrt(block + 0.0001)
                cut = np.minimum(values * scale, 0.2)
                found[y, x, :18] += 0.5 * cut
                found[y, x, 18:27] += 0.5 * np.minimum(unsigned[y + 2, x + 2] * scale, 0.2)
                found[y, x, 27 + place] = 0.2357 * cut.sum()
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_values_are_those_of_the_definition(seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    found = HogGrid(40).describe(picture)
    assert found.shape == (3 * 3 * 31,)
    np.testing.assert_allclose(found.reshape(3, 3, 31), plainly(picture), atol=2e-5)


def test_an_edge_has_one_direction() -> None:
    picture = np.zeros((112, 112, 3), np.uint8)
    picture[:, 56:] = 200  # brighter to the right: direction 0
    cells = HogGrid(112).describe(picture).reshape(12, 12, 31)
    assert (cells[:, 5:7, 0] > 0.3).all() and (cells[:, 5:7, 18] > 0.3).all()
    assert np.abs(cells[..., 1:18]).max() == 0
    assert np.abs(cells[:, :4]).max() == 0


def test_a_plain_picture_has_none() -> None:
    assert not HogGrid(112).describe(np.full((112, 112, 3), 90, np.uint8)).any()

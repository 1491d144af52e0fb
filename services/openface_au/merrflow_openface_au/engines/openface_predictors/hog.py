"""Felzenszwalb's histogram of oriented gradients (Felzenszwalb et al. 2010, "Object Detection with Discriminatively
Trained Part-Based Models", section 6), in the variant of dlib that OpenFace's predictors were trained on.

Cells of 8 x 8 pixels; the colour channel with the largest gradient counts; 18 signed and 9 unsigned directions and 4
measures of texture for each cell; the outermost ring of cells is left out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CELL = 8  # pixels
DIRECTIONS = 9  # over half a turn; twice as many with sign
VALUES = 31  # for each cell

Floats = npt.NDArray[np.float32]


class HogGrid:
    """HOG of pictures of one size. Immutable; safe in several threads."""

    def __init__(self, side: int) -> None:
        """side: of the square pictures, in pixels; a multiple of `CELL`."""
        self.cells = side // CELL
        self._inner = slice(1, side - 1)  # pixels with neighbours on both sides
        self._weights = _cell_weights(side)
        self._direction, self._length = _gradient_tables()

    @property
    def size(self) -> int:
        """How many values a picture has."""
        return (self.cells - 2) ** 2 * VALUES

    def describe(self, picture: npt.NDArray[np.uint8]) -> Floats:
        """(side, side, 3) to (size,): cell by cell, row by row."""
        histogram = self._histogram(picture)
        return np.ascontiguousarray(_normalised(histogram)).reshape(-1)

    def _histogram(self, picture: npt.NDArray[np.uint8]) -> Floats:
        """(18, cells + 2, cells + 2): length of the gradients by signed direction, shared among the nearest cells."""
        values = picture.astype(np.int16)
        across = values[self._inner, 2:] - values[self._inner, :-2]
        down = values[2:, self._inner] - values[:-2, self._inner]
        # The places of both tables: (dx + 255, dy + 255), flat.
        place = (across.astype(np.int32) + 255) * 511 + (down + 255)
        lengths = self._length[place]
        channel = lengths.argmax(axis=2)[..., None]  # the first of equals
        place = np.take_along_axis(place, channel, axis=2)[..., 0]
        length = np.take_along_axis(lengths, channel, axis=2)[..., 0]
        count = place.shape[0]
        maps = np.zeros((2 * DIRECTIONS, count * count), np.float32)
        maps[self._direction[place].reshape(-1), np.arange(count * count)] = length.reshape(-1)
        shared: Floats = self._weights @ maps.reshape(-1, count, count) @ self._weights.T
        return shared


def _cell_weights(side: int) -> Floats:
    """(cells + 2, side - 2): how much of each inner pixel a cell gets along one axis; one more cell on each side."""
    weights = np.zeros((side // CELL + 2, side - 2), np.float32)
    position = (np.arange(1, side - 1) + 0.5) / CELL - 0.5
    low = np.floor(position).astype(int)
    upper = (position - low).astype(np.float32)
    pixels = np.arange(side - 2)
    weights[low + 1, pixels] = 1 - upper
    weights[low + 2, pixels] = upper
    return weights


def _gradient_tables() -> tuple[npt.NDArray[np.uint8], Floats]:
    """Signed direction (0 to 17) and length of each gradient (dx, dy) from -255 to 255, flat: (511 * 511,) each."""
    dx, dy = (
        axis.astype(np.float32) for axis in np.meshgrid(np.arange(-255, 256), np.arange(-255, 256), indexing="ij")
    )
    angle = np.arange(DIRECTIONS) * np.pi / DIRECTIONS
    # Four digits, as dlib has them: they decide the direction on the borders.
    products = dx[..., None] * np.round(np.cos(angle), 4).astype(np.float32)
    products += dy[..., None] * np.round(np.sin(angle), 4).astype(np.float32)
    signed = np.stack([products, -products], axis=-1).reshape(511 * 511, 2 * DIRECTIONS)  # 0+, 0-, 1+, 1-, ...
    best = signed.argmax(axis=1)
    best = np.where(signed.max(axis=1) > 0, best, 0)
    direction = (best // 2 + DIRECTIONS * (best % 2)).astype(np.uint8)
    return direction, np.hypot(dx, dy).reshape(-1)


def _normalised(histogram: Floats) -> Floats:
    """(rows, columns, 31) of the inner cells: by the energy of the four blocks of 2 x 2 cells around, cut at 0.2."""
    unsigned = histogram[:DIRECTIONS] + histogram[DIRECTIONS:]
    energy = np.square(unsigned[:, 1:-1, 1:-1]).sum(axis=0)
    blocks = energy[:-1, :-1] + energy[1:, :-1] + energy[:-1, 1:] + energy[1:, 1:]
    factor = 1 / np.sqrt(blocks + np.float32(0.0001))
    signed = histogram[:, 2:-2, 2:-2]
    sums = np.zeros(signed.shape, np.float32)
    unsigned_sums = np.zeros((DIRECTIONS, *signed.shape[1:]), np.float32)
    texture = []
    inner = unsigned[:, 2:-2, 2:-2]
    rows, columns = signed.shape[1:]
    for top, left in ((1, 1), (0, 1), (1, 0), (0, 0)):
        near = factor[top : top + rows, left : left + columns]
        cut = np.minimum(signed * near, np.float32(0.2))
        sums += cut
        texture.append(cut.sum(axis=0))
        unsigned_sums += np.minimum(inner * near, np.float32(0.2))
    parts = (np.float32(0.5) * sums, np.float32(0.5) * unsigned_sums, np.float32(0.2357) * np.stack(texture))
    return np.concatenate(parts).transpose(1, 2, 0)

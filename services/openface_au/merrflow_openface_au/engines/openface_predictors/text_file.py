"""OpenFace's text files: matrices of the point distribution model and the triangulation, and the list of predictors.

A matrix is three numbers on lines of their own (rows, columns, type) and then the rows; # begins a comment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.openface_predictors.faults import fault, read_bounded
from merrflow_openface_au.engines.openface_predictors.shape_model import POINTS, ShapeModel

MAX_BYTES = 4 << 20
MAX_MODES = 100
MAX_TRIANGLES = 1000
MAX_PREDICTORS = 100
_LISTED = re.compile(r"(\S+\.dat)\s+(AU\d\d)")
_INTEGER = re.compile(r"\d{1,6}")


@dataclass(frozen=True)
class Listed:
    """A line of `AU_all_best.txt`."""

    file: str  # path within the folder
    action_unit: str


def read_shape_model(path: Path) -> ShapeModel:
    """Raises `NotReady` with what is wrong and what to do."""
    matrices = _matrices(path, 3)
    mean, modes, variances = matrices
    count = modes.shape[1]
    if mean.shape != (3 * POINTS, 1) or modes.shape[0] != 3 * POINTS or variances.shape != (1, count):
        raise fault(
            path, f"is no model of {POINTS} points: its matrices are {', '.join(_size(one) for one in matrices)}"
        )
    if not (variances > 0).all():
        raise fault(path, "has a variance that is not above 0")
    return ShapeModel(mean.reshape(3, POINTS).T.copy(), modes, variances.reshape(-1))


def read_triangles(path: Path) -> npt.NDArray[np.int32]:
    """(n, 3) numbers of points, from 0. Raises `NotReady`."""
    (values,) = _matrices(path, 1)
    triangles = values.astype(np.int32)
    if values.shape[1] != 3 or (values != triangles).any() or values.min() < 0 or values.max() >= POINTS:
        raise fault(path, f"is no triangulation of {POINTS} points")
    return triangles


def read_list(path: Path) -> list[Listed]:
    """The predictors that OpenFace uses for video. Raises `NotReady`."""
    text = _text(path)
    listed = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        found = _LISTED.fullmatch(line.strip())
        if found is None or ".." in found[1] or found[1].startswith(("/", "\\")):
            raise fault(path, f"line {number} is not a file and an Action Unit, such as 'svm_combined/AU_1.dat AU01'")
        listed.append(Listed(found[1].replace("\\", "/"), found[2]))
    if not 1 <= len(listed) <= MAX_PREDICTORS:
        raise fault(path, f"lists {len(listed)} predictors, not 1 to {MAX_PREDICTORS}")
    return listed


def _text(path: Path) -> str:
    try:
        return read_bounded(path, MAX_BYTES).decode("ascii")
    except UnicodeDecodeError as error:
        raise fault(path, "is no text file") from error


def _matrices(path: Path, count: int) -> list[npt.NDArray[np.float64]]:
    lines = [line for line in _text(path).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found, place = [], 0
    for _ in range(count):
        head = [line.strip() for line in lines[place : place + 3]]
        if len(head) < 3 or not all(_INTEGER.fullmatch(value) for value in head):
            raise fault(path, "ends, or has something else, where a matrix with its size should begin")
        rows, columns = int(head[0]), int(head[1])
        if not (1 <= rows <= MAX_TRIANGLES and 1 <= columns <= max(MAX_MODES, 3)):
            raise fault(path, f"has a matrix of {rows} x {columns}, more than such a file can hold")
        place += 3
        if place + rows > len(lines):
            raise fault(path, f"ends within a matrix of {rows} rows")
        found.append(_rows(path, lines[place : place + rows], columns))
        place += rows
    if place != len(lines):
        raise fault(path, f"has more than the {count} {'matrix' if count == 1 else 'matrices'} that are expected")
    return found


def _rows(path: Path, lines: list[str], columns: int) -> npt.NDArray[np.float64]:
    rows = [line.split() for line in lines]
    if any(len(row) != columns for row in rows):
        raise fault(path, f"has a row that is not {columns} numbers long")
    try:
        values = np.array(rows, np.float64)
    except ValueError as error:
        raise fault(path, f"has something that is no number: {error}") from error
    if not np.isfinite(values).all():
        raise fault(path, "holds numbers that are not finite")
    return values


def _size(matrix: npt.NDArray[np.float64]) -> str:
    return f"{matrix.shape[0]} x {matrix.shape[1]}"

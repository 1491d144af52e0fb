"""One of OpenFace's linear predictors, as it is in a `.dat` file.

int32 kind; float64 cutoff (dynamic intensity only); mean and weights, each int32 rows, columns, type and float64
values; float64 bias; for presence two float64: the class of a positive and of a negative margin.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.openface_predictors.faults import fault, read_bounded

STATIC_INTENSITY, DYNAMIC_INTENSITY, STATIC_PRESENCE, DYNAMIC_PRESENCE = 0, 1, 4, 5
KINDS = (STATIC_INTENSITY, DYNAMIC_INTENSITY, STATIC_PRESENCE, DYNAMIC_PRESENCE)
FLOAT64 = 6  # the type of a matrix, as OpenCV numbers it
MAX_BYTES = 1 << 20  # a file has 75 KB

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearPredictor:
    """value = (x - mean) . weights + bias; dynamic: x is what differs from the person's median."""

    action_unit: str  # such as AU06
    is_presence: bool
    is_dynamic: bool
    cutoff: float | None  # dynamic intensity: which share of the sorted values becomes 0
    mean: Floats  # (values,)
    weights: Floats  # (values,)
    bias: float
    present_if_positive: bool  # presence: what a positive value says


def read_predictor(path: Path, action_unit: str, values: int) -> LinearPredictor:
    """values: how many the predictor must take. Raises `NotReady` with what is wrong and what to do."""
    content = read_bounded(path, MAX_BYTES)
    place = 0

    def take(form: str) -> tuple[float, ...]:
        nonlocal place
        size = struct.calcsize(form)
        if place + size > len(content):
            raise fault(path, f"ends after {len(content)} bytes, in the middle of a value")
        found = struct.unpack_from(form, content, place)
        place += size
        return found

    def column(name: str) -> Floats:
        rows, columns, kind = take("<3i")
        if kind != FLOAT64 or {rows, columns} != {1, values}:
            raise fault(
                path,
                f"its {name} is {rows} x {columns} of type {kind}, not 1 x {values} of type {FLOAT64}: it is no "
                "predictor of this format",
            )
        found = np.array(take(f"<{values}d"))
        if not np.isfinite(found).all():
            raise fault(path, f"its {name} holds numbers that are not finite")
        return found

    kind = int(take("<i")[0])
    if kind not in KINDS:
        raise fault(
            path, f"is of kind {kind}, not one of {', '.join(map(str, KINDS))}: other predictors are not linear"
        )
    is_presence = kind in (STATIC_PRESENCE, DYNAMIC_PRESENCE)
    cutoff = take("<d")[0] if kind == DYNAMIC_INTENSITY else None
    if cutoff is not None and not 0 <= cutoff < 1:
        raise fault(path, f"its cutoff is {cutoff:g}, not between 0 and 1")
    mean, weights = column("mean"), column("weights")
    (bias,) = take("<d")
    classes = take("<2d") if is_presence else (1.0, 0.0)
    if not math.isfinite(bias) or sorted(classes) != [0, 1]:
        raise fault(path, "its last numbers are no bias and no two classes, 0 and 1")
    if place != len(content):
        raise fault(path, f"has {len(content) - place} bytes more than its header says")
    return LinearPredictor(
        action_unit,
        is_presence,
        kind in (DYNAMIC_INTENSITY, DYNAMIC_PRESENCE),
        cutoff,
        mean,
        weights,
        float(bias),
        classes[0] == 1,
    )

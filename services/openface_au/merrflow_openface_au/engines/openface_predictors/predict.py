"""From the descriptors of one face over time to Action Units (Baltrusaitis, Mahmoud and Robinson 2015, "Cross-dataset
learning and person-specific normalisation for automatic Action Unit detection")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.openface_predictors.binary_file import LinearPredictor
from merrflow_openface_au.types import ActionUnitValue

MAXIMUM = 5.0  # FACS level E
INTENSITY_FRAMES, PRESENCE_FRAMES = 3, 7  # that a value is smoothed over

Floats = npt.NDArray[np.float64]
FrameNumbers = npt.NDArray[np.integer[Any]]


class Responses:
    """All predictors as one matrix. Immutable."""

    def __init__(self, predictors: Sequence[LinearPredictor]) -> None:
        self.predictors = tuple(predictors)
        self._weights = np.column_stack([one.weights for one in predictors])
        self._offsets = np.array([one.bias - one.mean @ one.weights for one in predictors])
        self._dynamic = np.array([one.is_dynamic for one in predictors])

    def of(self, descriptor: npt.NDArray[np.floating[Any]]) -> Floats:
        """(values,) to (predictors,): each predictor's value for the descriptor as it is."""
        found: Floats = descriptor.astype(np.float64) @ self._weights + self._offsets
        return found

    def personal(self, responses: Floats, median: npt.NDArray[np.floating[Any]]) -> Floats:
        """(frames, predictors): dynamic predictors take what differs from the person's median descriptor (values,)."""
        found: Floats = responses - np.where(self._dynamic, median.astype(np.float64) @ self._weights, 0.0)
        return found


def action_units(
    predictors: Sequence[LinearPredictor], values: Floats, frames: FrameNumbers
) -> list[dict[str, ActionUnitValue]]:
    """For each frame, every Action Unit in ascending order.

    values: (frames, predictors), as `Responses.personal`. frames: (frames,) numbers, ascending; gaps are not smoothed
    over.
    """
    intensities: dict[str, Floats] = {}
    presences: dict[str, npt.NDArray[np.bool_]] = {}
    for one, column in zip(predictors, values.T, strict=True):
        if one.is_presence:
            presences[one.action_unit] = presence(one, column, frames)
        else:
            intensities[one.action_unit] = intensity(one, column, frames)
    return [_frame(intensities, presences, place) for place in range(len(frames))]


def _frame(
    intensities: Mapping[str, Floats], presences: Mapping[str, npt.NDArray[np.bool_]], place: int
) -> dict[str, ActionUnitValue]:
    return {
        name: ActionUnitValue(
            intensity=float(intensities[name][place]) if name in intensities else None,
            present=bool(presences[name][place]),
        )
        for name in sorted(presences)
    }


def intensity(predictor: LinearPredictor, values: Floats, frames: FrameNumbers) -> Floats:
    """(frames,), 0 to 5. Dynamic: a face's own values say what 0 is."""
    if predictor.cutoff is not None:
        values = values - np.sort(values)[int(predictor.cutoff * len(values))]
    return windowed(np.clip(values, 0.0, MAXIMUM), frames, INTENSITY_FRAMES)


def presence(predictor: LinearPredictor, values: Floats, frames: FrameNumbers) -> npt.NDArray[np.bool_]:
    """(frames,): the majority of neighbouring frames."""
    seen = (values > 0) == predictor.present_if_positive
    return windowed(seen.astype(np.float64), frames, PRESENCE_FRAMES) > 0.5


def windowed(values: Floats, frames: FrameNumbers, width: int) -> Floats:
    """Centred mean over `width` consecutive frames; as it is where there are not so many, as in OpenFace."""
    result = values.copy()
    for part in np.split(np.arange(len(values)), np.flatnonzero(np.diff(frames) > 1) + 1):
        if len(part) >= width:
            windows = np.lib.stride_tricks.sliding_window_view(values[part], width)
            result[part[width // 2 : len(part) - width // 2]] = windows.mean(axis=1)
    return result

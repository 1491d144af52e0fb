"""From blendshapes and facial geometry over time to Action Units: pure functions on arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.mediapipe.rules import BLENDSHAPES, BOTH_SIDES, ActionUnitRule, Baseline, Rules
from merrflow_openface_au.types import ActionUnitValue

MAXIMUM = 5.0  # FACS level E

Floats = npt.NDArray[np.float64]
FrameNumbers = npt.NDArray[np.integer[Any]]


def features(blendshapes: npt.NDArray[np.floating[Any]], geometry: Sequence[Mapping[str, float]]) -> dict[str, Floats]:
    """Every feature that a rule can name, as (frames,).

    blendshapes: (frames, 52), 0 to 1. geometry: for each frame, `facial_geometry`.
    """
    values = np.asarray(blendshapes, np.float64)
    table = {name: values[:, i] for i, name in enumerate(BLENDSHAPES)}
    for name in BOTH_SIDES:
        table[name] = (table[f"{name}Left"] + table[f"{name}Right"]) / 2
    for name in geometry[0] if geometry else ():
        table[name] = np.array([frame[name] for frame in geometry])
    return table


def intensity(rule: ActionUnitRule, table: Mapping[str, Floats], frames: FrameNumbers, baseline: Baseline) -> Floats:
    """One Action Unit of one face over time: (frames,), 0 to 5.

    frames: (frames,) frame numbers, ascending; gaps are not smoothed over.
    """
    signal = sum(weight * table[name] for name, weight in rule.terms.items())
    signal = smooth(np.asarray(signal, np.float64), frames, rule.smooth_frames)
    neutral = rule.neutral
    if rule.personal_baseline:
        # The longer a person is seen, the more their own resting face counts against the average one's.
        own = float(np.percentile(signal, baseline.percentile))
        seen = len(signal) - 1  # a single picture says nothing about its own resting face
        weight = seen / (seen + baseline.half_weight_frames)
        neutral += weight * (own - neutral)
    return np.clip(rule.gain * (signal - neutral), 0.0, MAXIMUM)


def smooth(values: Floats, frames: FrameNumbers, width: int) -> Floats:
    """Centred mean over at most `width` consecutive frames; shorter at the ends and beside gaps."""
    if width <= 1 or len(values) < 2:
        return values
    result = np.empty_like(values)
    half = width // 2
    for part in np.split(np.arange(len(values)), np.flatnonzero(np.diff(frames) > 1) + 1):
        sums = np.concatenate([[0.0], np.cumsum(values[part])])
        low = np.maximum(np.arange(len(part)) - half, 0)
        high = np.minimum(np.arange(len(part)) + half + 1, len(part))
        result[part] = (sums[high] - sums[low]) / (high - low)
    return result


def action_units(rules: Rules, table: Mapping[str, Floats], frames: FrameNumbers) -> list[dict[str, ActionUnitValue]]:
    """For each frame, every Action Unit of the rules in ascending order."""
    columns = {name: intensity(rule, table, frames, rules.baseline) for name, rule in rules.action_units.items()}
    return [
        {name: _value(rule, float(columns[name][i])) for name, rule in rules.action_units.items()}
        for i in range(len(frames))
    ]


def _value(rule: ActionUnitRule, value: float) -> ActionUnitValue:
    return ActionUnitValue(intensity=None if rule.presence_only else value, present=value >= rule.present_from)

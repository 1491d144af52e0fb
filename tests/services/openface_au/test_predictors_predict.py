"""From values over time to intensity and presence."""

from __future__ import annotations

import numpy as np

from merrflow_openface_au.engines.openface_predictors.binary_file import LinearPredictor
from merrflow_openface_au.engines.openface_predictors.predict import Responses, action_units, windowed


def predictor(unit: str = "AU12", *, presence: bool = False, cutoff: float | None = None, dynamic: bool = False,
              positive: bool = True) -> LinearPredictor:  # fmt: skip
    return LinearPredictor(unit, presence, dynamic, cutoff, np.array([1.0, 2.0]), np.array([0.5, -1.0]), 0.25, positive)


def test_static_and_dynamic_values() -> None:
    responses = Responses([predictor(), predictor(dynamic=True)])
    x, median = np.array([3.0, 1.0]), np.array([1.0, 1.0])
    values = responses.personal(responses.of(x)[None], median)[0]
    np.testing.assert_allclose(values, [0.5 * 2 - 1.0 * -1 + 0.25, 0.5 * 1 - 1.0 * -2 + 0.25])


def test_intensity_begins_at_the_cutoff_and_is_smoothed() -> None:
    values = np.array([[1.0], [2.0], [9.0], [1.0], [1.0]])
    units = action_units([predictor(cutoff=0.5), predictor(presence=True)], np.hstack([values, values]), np.arange(5))
    assert [round(one["AU12"].intensity, 3) for one in units] == [0, 2, 2, 1.667, 0]  # 0 1 5 0 0 before smoothing


def test_presence_is_the_majority_of_seven() -> None:
    raw = np.array([1, -1, 1, 1, 1, -1, 1, -1, -1, -1, -1], float)[:, None]
    seen = [one["AU04"].present for one in action_units([predictor("AU04", presence=True)], raw, np.arange(11))]
    assert seen == [True, False, True, True, True, True, False, False, False, False, False]
    turned = action_units([predictor("AU04", presence=True, positive=False)], raw, np.arange(11))
    assert [one["AU04"].present for one in turned] == [not one for one in seen]
    assert {one["AU04"].intensity for one in turned} == {None}


def test_nothing_is_smoothed_over_a_gap() -> None:
    values = np.array([0.0, 3.0, 0.0, 9.0, 9.0])
    np.testing.assert_allclose(windowed(values, np.array([0, 1, 2, 7, 8]), 3), [0, 1, 0, 9, 9])

"""The point distribution model on points that it made itself."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_openface_au.engines.openface_predictors.shape_model import Fit, ShapeModel
from merrflow_openface_au.engines.openface_predictors.text_file import read_shape_model
from tests.services.openface_au.predictor_files import write


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ShapeModel:
    return read_shape_model(write(tmp_path_factory.mktemp("models")) / "In-the-wild_aligned_PDM_68.txt")


def turned(yaw: float, pitch: float) -> np.ndarray:
    y, p = np.radians([yaw, pitch])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return about_x @ about_y


@pytest.mark.parametrize(("yaw", "pitch", "scale"), [(0, 0, 1.0), (25, -10, 0.4), (-40, 15, 6.0)])
def test_parameters_are_found_again(model: ShapeModel, yaw: float, pitch: float, scale: float) -> None:
    modes = np.random.default_rng(3).normal(size=34) * np.sqrt(model.variances) * 0.3
    truth = Fit(scale, turned(yaw, pitch), np.array([300.0, 200.0]), modes)
    found = model.fit(model.project(truth), None, prior=1e-6, jaw_weight=1.0)
    assert np.abs(model.project(found) - model.project(truth)).max() < 0.01 * scale
    assert found.scale == pytest.approx(scale, rel=0.02)
    np.testing.assert_allclose(found.rotation, truth.rotation, atol=0.02)
    assert np.corrcoef(found.modes, modes)[0, 1] > 0.97


def test_resolution_does_not_count(model: ShapeModel) -> None:
    points = model.project(Fit(1.0, turned(10, 5), np.zeros(2), np.zeros(34)))
    points = points + np.random.default_rng(4).normal(size=points.shape)
    small, large = (model.fit(points * factor, None, prior=8, jaw_weight=0.05) for factor in (1, 7))
    np.testing.assert_allclose(small.modes, large.modes, atol=1e-3)


def test_the_prior_keeps_modes_small(model: ShapeModel) -> None:
    points = model.project(Fit(1.0, np.eye(3), np.zeros(2), np.sqrt(model.variances)))
    weak, strong = (model.fit(points, None, prior=prior, jaw_weight=1.0).modes for prior in (0.01, 1e4))
    assert np.abs(strong).max() < 0.1 * np.abs(weak).max()


def test_a_start_near_by_comes_to_the_same(model: ShapeModel) -> None:
    points = model.project(Fit(1.0, turned(5, 5), np.zeros(2), 0.3 * np.sqrt(model.variances)))
    cold = model.fit(points, None, prior=8, jaw_weight=0.05)
    warm = model.fit(points, model.fit(points * 1.01, None, prior=8, jaw_weight=0.05), prior=8, jaw_weight=0.05)
    np.testing.assert_allclose(warm.modes, cold.modes, atol=0.05)


@pytest.mark.parametrize("points", [np.zeros((68, 2)), np.full((68, 2), 1e6), np.eye(68)[:, :2] * 1e-9])
def test_points_that_are_no_face_raise_nothing(model: ShapeModel, points: np.ndarray) -> None:
    assert np.isfinite(model.fit(points, None, prior=8, jaw_weight=0.05).modes).all()

"""Faces are turned upright, scaled and masked; with OpenFace's own points the predictors give OpenFace's own values."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from merrflow_openface_au.engines.openface_predictors.alignment import SIDE, Aligner
from merrflow_openface_au.engines.openface_predictors.hog import HogGrid
from merrflow_openface_au.engines.openface_predictors.model_files import read_model_files
from merrflow_openface_au.engines.openface_predictors.predict import Responses, action_units
from merrflow_serving.media.video import iter_frames
from tests.services.openface_au.predictor_files import face

SHARED = Path(__file__).resolve().parents[4] / "shared"
TRIANGLES = np.array([(30, i, i + 1) for i in range(26)] + [(30, 0, 17), (30, 16, 26)], np.int32)


def placed(angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    """(68, 2) pixels: the mean face turned in the picture's plane."""
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return scale * face()[:, :2] @ rotation.T + shift


@pytest.mark.parametrize(("angle", "scale"), [(0, 1.0), (30, 2.0), (-70, 0.8)])
def test_a_face_comes_upright_and_to_one_size(angle: float, scale: float) -> None:
    import cv2

    points = placed(angle, scale, (260, 250))
    picture = np.full((500, 520, 3), 120, np.uint8)
    for corner in (36, 45, 54):
        cv2.circle(picture, tuple(np.round(points[corner]).astype(int).tolist()), 4, (255, 255, 255), -1)
    aligned = Aligner(face()[:, :2], TRIANGLES).align(picture, points, np.array([260.0, 250.0]))
    assert aligned.shape == (SIDE, SIDE, 3)
    for corner in (36, 45, 54):
        x, y = np.round(0.7 * face()[corner, :2] + SIDE / 2).astype(int)
        assert aligned[y - 1 : y + 2, x - 1 : x + 2].max() > 200
    assert not aligned[:, 0].any() and not aligned[-1].any()  # beyond the jaw


@pytest.mark.parametrize("points", [np.zeros((68, 2)), np.full((68, 2), 1e7), placed(0, 1.0, (-900, -900))])
def test_points_that_are_no_face_or_outside_raise_nothing(points: np.ndarray) -> None:
    picture = np.full((50, 60, 3), 120, np.uint8)
    assert Aligner(face()[:, :2], TRIANGLES).align(picture, points, points.mean(axis=0)).shape == (SIDE, SIDE, 3)


def test_with_openfaces_points_the_values_are_openfaces() -> None:
    if not ((SHARED / "openface-models").is_dir() and (SHARED / "clips").is_dir()):
        pytest.skip("no OpenFace model files or research clips in ../shared")
    name = "sample_00003462"
    with open(SHARED / "openface" / f"{name}.csv", newline="") as file:
        rows = [{key.strip(): float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    files = read_model_files(SHARED / "openface-models")
    aligner, grid = Aligner(files.shapes.mean[:, :2], files.triangles), HogGrid(SIDE)
    described, fit = [], None
    for frame, row in zip(iter_frames(SHARED / "clips" / f"{name}.mp4"), rows, strict=True):
        points = np.array([(row[f"x_{i}"], row[f"y_{i}"]) for i in range(68)])
        fit = files.shapes.fit(points, fit, prior=1e-3, jaw_weight=1.0)
        aligned = aligner.align(np.ascontiguousarray(frame.view(1920)), points, fit.shift)
        described.append(np.concatenate([grid.describe(aligned), files.shapes.offsets(fit.modes), fit.modes]))
    responses = Responses(files.predictors)
    median = np.median(described[::2], axis=0)
    values = responses.personal(np.stack([responses.of(one) for one in described]), median)
    units = action_units(files.predictors, values, np.arange(len(rows)))
    for unit in files.action_units:
        theirs = np.array([row.get(f"{unit}_r", 0.0) for row in rows])
        if theirs.std() > 0.05:
            ours = np.array([one[unit].intensity for one in units])
            assert np.corrcoef(ours, theirs)[0, 1] > 0.97, unit
            assert np.abs(ours - theirs).mean() < 0.1, unit
    same = [
        [one[unit].present == bool(row[f"{unit}_c"]) for unit in files.action_units]
        for one, row in zip(units, rows, strict=True)
    ]
    assert np.mean(same) > 0.95

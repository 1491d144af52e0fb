"""What OpenFace's predictors see of a face: HOG of the aligned picture, then how the modes move the points, then q."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.openface_predictors.alignment import SIDE, Aligner, Image
from merrflow_openface_au.engines.openface_predictors.hog import HogGrid
from merrflow_openface_au.engines.openface_predictors.model_files import ModelFiles
from merrflow_openface_au.engines.openface_predictors.recipe import Recipe
from merrflow_openface_au.engines.openface_predictors.shape_model import JAW, Fit


@dataclass(frozen=True, eq=False)
class Described:
    """A face in one frame."""

    fit: Fit  # where the next frame's starts
    values: npt.NDArray[np.float32]  # (values,)


class Describer:
    """Describes faces one by one. Immutable."""

    def __init__(self, files: ModelFiles, recipe: Recipe) -> None:
        self._shapes = files.shapes
        self._aligner = Aligner(files.shapes.mean[:, :2], files.triangles)
        self._grid = HogGrid(SIDE)
        self._recipe = recipe
        self._vertices = list(recipe.landmarks.vertices)

    def describe(self, image: Image, mesh: npt.NDArray[np.floating[Any]], before: Fit | None) -> Described:
        """image: (height, width, 3) RGB. mesh: (478, 3) pixels. before: of the same face one frame earlier."""
        points = mesh[self._vertices, :2].astype(np.float64)
        fit = self._shapes.fit(points, before, prior=self._recipe.prior, jaw_weight=self._recipe.jaw_weight)
        points[JAW] = self._shapes.project(fit)[JAW]
        aligned = self._aligner.align(image, points, fit.shift)
        parts = (self._grid.describe(aligned), self._shapes.offsets(fit.modes), fit.modes)
        return Described(fit, np.concatenate(parts).astype(np.float32))

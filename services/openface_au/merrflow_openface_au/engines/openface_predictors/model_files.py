"""OpenFace's model files in a folder of the user's, read once and checked whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.openface_predictors.alignment import SIDE
from merrflow_openface_au.engines.openface_predictors.binary_file import LinearPredictor, read_predictor
from merrflow_openface_au.engines.openface_predictors.faults import fault, missing
from merrflow_openface_au.engines.openface_predictors.hog import HogGrid
from merrflow_openface_au.engines.openface_predictors.shape_model import ShapeModel
from merrflow_openface_au.engines.openface_predictors.text_file import read_list, read_shape_model, read_triangles

LIST, SHAPES, TRIANGLES = "AU_all_best.txt", "In-the-wild_aligned_PDM_68.txt", "tris_68_full.txt"


@dataclass(frozen=True, eq=False)
class ModelFiles:
    """All that is read from the folder."""

    shapes: ShapeModel
    triangles: npt.NDArray[np.int32]  # (n, 3)
    predictors: tuple[LinearPredictor, ...]

    @property
    def action_units(self) -> tuple[str, ...]:
        """Those that are predicted, ascending."""
        return tuple(sorted({one.action_unit for one in self.predictors}))


def read_model_files(folder: Path) -> ModelFiles:
    """Raises `NotReady` with the first file that is missing or wrong, and what to do."""
    _need(folder, [LIST, SHAPES, TRIANGLES])
    listed = read_list(folder / LIST)
    _need(folder, [one.file for one in listed])
    shapes = read_shape_model(folder / SHAPES)
    values = HogGrid(SIDE).size + shapes.modes.shape[0] + shapes.modes.shape[1]
    predictors = tuple(read_predictor(folder / one.file, one.action_unit, values) for one in listed)
    seen: set[tuple[str, bool]] = set()
    for one, predictor in zip(listed, predictors, strict=True):
        key = (predictor.action_unit, predictor.is_presence)
        if key in seen:
            what = "presence" if predictor.is_presence else "intensity"
            raise fault(folder / LIST, f"lists two predictors of the {what} of {one.action_unit}; {one.file} is one")
        seen.add(key)
    for name in sorted({unit for unit, _ in seen}):
        if (name, True) not in seen:
            raise fault(folder / LIST, f"has an intensity of {name} but no presence: is it of an older OpenFace?")
    return ModelFiles(shapes, read_triangles(folder / TRIANGLES), predictors)


def fingerprint(folder: Path) -> str:
    """64 hexadecimal digits of all model files, or "" if one cannot be read."""
    try:
        names = [LIST, SHAPES, TRIANGLES, *(one.file for one in read_list(folder / LIST))]
        digest = hashlib.sha256()
        for name in names:
            digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    except Exception:  # `read_model_files` says why
        return ""
    return digest.hexdigest()


def _need(folder: Path, names: list[str]) -> None:
    away = [name for name in names if not (folder / name).is_file()]
    if away:
        raise missing(folder, away)

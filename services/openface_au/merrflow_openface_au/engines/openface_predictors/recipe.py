"""`data/openface_predictors.yaml`: which vertices the 68 points are, and how the model is fitted to them."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Annotated

import yaml
from pydantic import Field

from merrflow_serving.prompt_files import Strict

VERTICES = 478  # of MediaPipe's mesh
Vertex = Annotated[int, Field(ge=0, lt=VERTICES)]


def _points(count: int) -> object:
    return Field(min_length=count, max_length=count)


class Landmarks(Strict):
    """The mesh's vertex at each point, part by part in the order of the 68 points."""

    jaw: Annotated[tuple[Vertex, ...], _points(17)]
    brows: Annotated[tuple[Vertex, ...], _points(10)]
    nose: Annotated[tuple[Vertex, ...], _points(9)]
    eyes: Annotated[tuple[Vertex, ...], _points(12)]
    outer_lips: Annotated[tuple[Vertex, ...], _points(12)]
    inner_lips: Annotated[tuple[Vertex, ...], _points(8)]

    @property
    def vertices(self) -> tuple[int, ...]:
        """All 68."""
        return (*self.jaw, *self.brows, *self.nose, *self.eyes, *self.outer_lips, *self.inner_lips)


class Recipe(Strict):
    """The whole file."""

    version: str = Field(pattern=r"^\S+$")
    landmarks: Landmarks
    jaw_weight: float = Field(gt=0, le=1)
    prior: float = Field(gt=0)

    @property
    def stamp(self) -> str:
        """Version and hash of all values."""
        return f"{self.version}+{hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]}"


def load_recipe() -> Recipe:
    """This package's own."""
    file = resources.files("merrflow_openface_au") / "data" / "openface_predictors.yaml"
    return Recipe.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))

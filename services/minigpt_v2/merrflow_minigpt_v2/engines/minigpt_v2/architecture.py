"""The fixed properties of MiniGPT-v2, read from `architecture.yaml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from merrflow_serving.prompt_files import Strict

FILE = Path(__file__).with_name("architecture.yaml")


class Picture(Strict):
    """How a picture is preprocessed."""

    size: int  # pixels, width and height
    mean: tuple[float, float, float]  # RGB, in 0..1
    std: tuple[float, float, float]


class Vision(Strict):
    """The vision tower's shape."""

    width: int
    layers: int  # used; a weight file may have more
    heads: int
    mlp: int
    patch: int  # pixels
    eps: float
    final_eps: float


class Projection(Strict):
    """From patches to tokens of the language model."""

    patches: int  # concatenated into one token


class Lora(Strict):
    """The adapter's scale is `alpha` over its rank."""

    alpha: float
    targets: tuple[str, ...]


class Template(Strict):
    """The prompt around picture and text."""

    starts: tuple[int, ...]  # token ids
    before: str
    after: str  # contains {text}
    stops: tuple[int, ...]  # token ids
    markers: tuple[str, ...]  # spellings that no text may contain unbroken


class Architecture(Strict):
    """The whole file."""

    version: str
    image: Picture
    vision: Vision
    projection: Projection
    lora: Lora
    template: Template

    @property
    def patches(self) -> int:
        """Patches of a picture, without the class token: 1024."""
        return (self.image.size // self.vision.patch) ** 2

    @property
    def image_tokens(self) -> int:
        """Tokens that a picture takes in the language model's context: 256."""
        return self.patches // self.projection.patches


@cache
def published() -> Architecture:
    """The model as its authors released it."""
    return Architecture.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))

"""The rule file of the mediapipe engine: how faces are searched, and how each Action Unit is computed.

All numbers are in `data/mediapipe.yaml`, with a version and a source for each Action Unit. The file is validated when
it is read, so that a misspelt blendshape fails at start and does not silently change results.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from merrflow_openface_au.engines.mediapipe.geometry import GEOMETRY
from merrflow_serving.errors import NotReady, first_fault
from merrflow_serving.prompt_files import Strict

# The 52 outputs of MediaPipe's blendshape network, in order (names as in Apple ARKit).
# fmt: off
BLENDSHAPES = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft",
    "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft",
    "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft",
    "jawOpen", "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft",
    "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight",
)
# fmt: on
# Outputs that stay at zero whatever the face does (measured): no Action Unit may use them.
DEAD = frozenset({"cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "cheekPuff", "_neutral"})
# A name without its side means the mean of both sides.
BOTH_SIDES = tuple(
    name.removesuffix("Left")
    for name in BLENDSHAPES
    if name.endswith("Left")
    and name.removesuffix("Left") + "Right" in BLENDSHAPES
    and name not in ("jawLeft", "mouthLeft")  # movements to one side, not two sides of one movement
)
FEATURES = frozenset((*BLENDSHAPES, *BOTH_SIDES, *GEOMETRY))


class Search(Strict):
    """How faces are found and kept. Meaning and source of each value are in the YAML file."""

    every_frames: int = Field(ge=1, le=50)
    longest_side: int = Field(ge=320)
    min_score: float = Field(gt=0, lt=1)
    min_crop_score: float = Field(gt=0, lt=1)
    min_presence: float = Field(gt=0, lt=1)
    min_check_score: float = Field(gt=0, lt=1)
    max_check_distance: float = Field(gt=0)
    distance_scale: float = Field(gt=0)
    crop_scale: float = Field(gt=1, le=6)
    dark_below: float = Field(ge=0, le=255)
    bright_target: float = Field(gt=0, lt=255)
    cut_threshold: float = Field(gt=0)
    cut_ratio: float = Field(ge=1)


class Baseline(Strict):
    """The person's own neutral face, which Action Units are measured against."""

    percentile: float = Field(ge=0, le=50)
    half_weight_frames: float = Field(gt=0)


class ActionUnitRule(Strict):
    """One Action Unit as a weighted sum of features."""

    name: str
    terms: dict[str, float] = Field(min_length=1)
    neutral: float
    gain: float = Field(gt=0)
    present_from: float = Field(gt=0, lt=5)
    personal_baseline: bool
    smooth_frames: int = Field(ge=1, le=15)
    presence_only: bool = False  # the intensity is not given, because within a face it follows nothing
    source: str = Field(min_length=10)

    @model_validator(mode="after")
    def _known(self) -> ActionUnitRule:
        unknown = sorted(set(self.terms) - FEATURES)
        if unknown:
            raise ValueError(f"unknown features {', '.join(unknown)}")
        dead = sorted(name for name in self.terms if {name, f"{name}Left"} & DEAD)
        if dead:
            raise ValueError(f"{', '.join(dead)} never leave zero in this model")
        if not any(self.terms.values()):
            raise ValueError("all weights are 0")
        if self.smooth_frames % 2 == 0:
            raise ValueError("smooth_frames must be odd, so that the mean is centred")
        return self


class Rules(Strict):
    """The whole file."""

    version: str = Field(pattern=r"^\S+$")
    search: Search
    baseline: Baseline
    action_units: dict[str, ActionUnitRule] = Field(min_length=1)

    @property
    def stamp(self) -> str:
        """Version and hash of all values, so that a change counts even if its author forgot the version.

        Comments in the file are not hashed: they change no result.
        """
        digest = hashlib.sha256(self.model_dump_json().encode()).hexdigest()
        return f"{self.version}+{digest[:8]}"

    @field_validator("version", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        return str(value)

    @field_validator("action_units")
    @classmethod
    def _ascending(cls, rules: dict[str, ActionUnitRule]) -> dict[str, ActionUnitRule]:
        for code in rules:
            if not (len(code) == 4 and code.startswith("AU") and code[2:].isdigit()):
                raise ValueError(f"{code!r} is not an Action Unit such as AU06")
        return dict(sorted(rules.items()))


def load_rules(path: Path | None = None) -> Rules:
    """The rule file at `path`, or this package's own. Raises `NotReady` with the first mistake in it."""
    name = str(path) if path else "data/mediapipe.yaml"
    try:
        file = path or resources.files("merrflow_openface_au") / "data" / "mediapipe.yaml"
        return Rules.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise NotReady(f"{name}: {first_fault(error)}", reason="RULES_INVALID") from error
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise NotReady(f"{name} cannot be read: {error}", reason="RULES_INVALID") from error

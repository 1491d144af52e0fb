"""What curation is asked to do: `curation.yaml`, or a user's own file, read strictly."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from merrflow.core.datafile import DataFileError, Fault, Faults, Strict, read
from merrflow.core.errors import InputError

PACKAGED = files("merrflow.datasets.curation") / "curation.yaml"
FilterName = Literal[
    "distribution", "modalities", "support", "tone", "quality", "exact", "near", "neutral", "overabundance"
]
Merit = Literal["fine_text", "face_confidence", "face_size", "signal_to_noise", "resolution"]
Valence = Literal["positive", "negative", "either"]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]


class DistributionRules(Strict):
    top_at_least: Share
    own_at_most: Share
    opposite_only: bool


class ModalityRules(Strict):
    top_at_least: Share


class SupportRules(Strict):
    drop: Literal["unsupported", "another"]


class ToneRules(Strict):
    contradicted_at_least: Annotated[int, Field(ge=1)]
    share_at_least: Share


class QualityRules(Strict):
    face_pixels: Amount | None
    face_share: Share | None
    face_confidence: Share | None
    signal_to_noise: float | None
    subject_margin: Share | None
    sharpness: Amount | None
    fine_text: bool


class NearRules(Strict):
    frames: Annotated[float, Field(ge=0, lt=32)]  # half of 64 bits differ by chance
    sound: Annotated[float, Field(ge=0, lt=0.5)]
    text: Annotated[float, Field(ge=50, le=100)]
    text_letters: Count
    length: Annotated[float, Field(ge=0.5, le=1)]
    frames_alone: Annotated[float, Field(ge=0, lt=32)]


class NeutralRules(Strict):
    label: str
    share: Share
    number: Count | None


class OverabundanceRules(Strict):
    caps: dict[str, Count]
    ratio: Annotated[float, Field(ge=1)] | None
    to: Literal["median", "rarest"]
    spare: Count
    keep: Literal["draw", "best"]


class CurationConfig(Strict):
    """A section that a file leaves out is the packaged one."""

    version: str = Field(default_factory=lambda: packaged().version)
    seed: int = Field(default_factory=lambda: packaged().seed)
    order: tuple[FilterName, ...] = Field(default_factory=lambda: packaged().order)
    valence: dict[str, Valence] = Field(default_factory=lambda: packaged().valence)
    best: tuple[Merit, ...] = Field(default_factory=lambda: packaged().best)
    distribution: DistributionRules = Field(default_factory=lambda: packaged().distribution)
    modalities: ModalityRules = Field(default_factory=lambda: packaged().modalities)
    support: SupportRules = Field(default_factory=lambda: packaged().support)
    tone: ToneRules = Field(default_factory=lambda: packaged().tone)
    quality: QualityRules = Field(default_factory=lambda: packaged().quality)
    near: NearRules = Field(default_factory=lambda: packaged().near)
    neutral: NeutralRules = Field(default_factory=lambda: packaged().neutral)
    overabundance: OverabundanceRules = Field(default_factory=lambda: packaged().overabundance)

    @model_validator(mode="after")
    def _sound(self) -> CurationConfig:
        """Labels are of the set in `valence`, and no list names a thing twice; each fault at its own line."""
        labels = [(("overabundance", "caps", label), label) for label in self.overabundance.caps]
        labels.append((("neutral", "label"), self.neutral.label))
        known = ", ".join(self.valence)
        faults = [
            Fault(place, f"label {label!r} is not in the set of `valence`: {known}")
            for place, label in labels
            if label not in self.valence
        ]
        for name, values in (("order", self.order), ("best", self.best)):
            faults += [
                Fault((name, index), f"{value!r} stands twice")
                for index, value in enumerate(values)
                if value in values[:index]
            ]
        if faults:
            raise Faults(faults)
        return self


def load_config(path: Path | None = None) -> CurationConfig:
    """The packaged file, or the user's. Raises `InputError` that names file, line and value."""
    if path is None:
        return packaged()
    try:
        return read(path, CurationConfig)
    except DataFileError as error:
        raise InputError(str(error)) from error


@cache
def packaged() -> CurationConfig:
    """`curation.yaml`, which has every section."""
    return read(PACKAGED, CurationConfig)


FILTER_NAMES: tuple[str, ...] = get_args(FilterName)

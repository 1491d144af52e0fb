"""What the settings of filters are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from merrflow.core.datafile import Place, Strict

Merit = Literal["fine_text", "face_confidence", "face_size", "signal_to_noise", "resolution"]
Valence = Literal["positive", "negative", "either"]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]


class FilterRules(Strict):
    """Base of a filter's own settings, its section of `curation.yaml`. A filter without settings uses this itself.

    Each field of an outside filter has a default. Those of the built-in filters are in the packaged `curation.yaml`.
    """

    def labels(self) -> Iterable[tuple[Place, str]]:
        """The labels that the settings name, each with its place in the section; they must be in `valence`."""
        return ()


@dataclass(frozen=True)
class Shared:
    """The settings that all filters share."""

    seed: int  # of everything that is drawn
    valence: Mapping[str, Valence]  # label -> what it feels like
    best: tuple[Merit, ...]  # which of several clips is best: the first merit in which they differ decides
    neutral: str  # the label of clips without an expression

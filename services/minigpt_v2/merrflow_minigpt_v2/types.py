"""What an engine of this service takes (`SceneItem`) and returns (`Scene`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from merrflow_serving.answers import Measurement, Outcome, Usage

__all__ = ["ContextFrame", "Measurement", "Outcome", "Scene", "SceneItem"]


@dataclass(frozen=True)
class ContextFrame:
    """A frame near the described one."""

    offset_seconds: float  # after the described frame; negative before it
    image: npt.NDArray[np.uint8]  # (height, width, 3) RGB; may be smaller than the described frame


@dataclass(frozen=True)
class SceneItem:
    """One frame to describe."""

    image: npt.NDArray[np.uint8]  # (height, width, 3) RGB
    context: tuple[ContextFrame, ...] = ()  # in order of time
    instruction: str = ""  # for engines with a language model


@dataclass(frozen=True)
class Scene:
    """A description and what it is based on."""

    text: str  # one or two sentences
    measurements: tuple[Measurement, ...] = ()
    on_screen_text: tuple[str, ...] = ()  # in reading order
    outcome: Outcome = Outcome.DONE
    usage: Usage | None = None  # of an endpoint

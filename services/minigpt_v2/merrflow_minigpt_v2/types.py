"""What goes into an engine of this service and what comes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from merrflow_serving.answers import Measurement, Outcome


@dataclass(frozen=True)
class ContextFrame:
    """A frame near the described one."""

    offset_seconds: float  # after the described frame; negative before it
    image: np.ndarray  # (height, width, 3) uint8 RGB; may be smaller than the described frame


@dataclass(frozen=True)
class SceneItem:
    """One frame to describe."""

    image: np.ndarray  # (height, width, 3) uint8 RGB
    context: tuple[ContextFrame, ...] = ()  # in order of time
    instruction: str = ""  # for engines with a language model


@dataclass(frozen=True)
class Scene:
    """A description and what it rests on."""

    text: str  # one or two sentences
    measurements: tuple[Measurement, ...] = ()
    on_screen_text: tuple[str, ...] = ()  # in reading order
    outcome: Outcome = Outcome.DONE

"""What the service's engines return: frozen, with units."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from merrflow_serving.answers import Measurement, Outcome


class Content(StrEnum):
    """What a recording holds. Names as in `merrflow.qwen_audio.v1.Content`."""

    UNSPECIFIED = "unspecified"  # the engine cannot tell
    SPEECH = "speech"
    NO_SPEECH = "no_speech"  # sound, but neither speech nor music
    MUSIC = "music"
    SILENCE = "silence"


@dataclass(frozen=True)
class Span:
    """A stretch of time, in seconds from the start of the recording."""

    start: float
    end: float


@dataclass(frozen=True)
class Tone:
    """How a recording sounds."""

    text: str  # one sentence
    content: Content = Content.UNSPECIFIED
    measurements: tuple[Measurement, ...] = ()
    speech: tuple[Span, ...] = ()
    outcome: Outcome = Outcome.DONE

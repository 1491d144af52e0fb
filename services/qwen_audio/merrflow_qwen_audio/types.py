"""What an engine of this service takes (`ToneItem`) and returns (`Tone`), with units."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from merrflow_qwen_audio.arrays import Samples
from merrflow_serving.answers import Measurement, Outcome, Usage

__all__ = ["Content", "Measurement", "Outcome", "Span", "Tone", "ToneItem"]


@dataclass(frozen=True, eq=False)
class ToneItem:
    """One recording to describe."""

    samples: Samples  # (samples,) float32 at 16 kHz, mono, at its original level
    instruction: str = ""  # for engines with a language model; empty for the engine's own prompt


class Content(StrEnum):
    """What a recording contains. Names as in `merrflow.qwen_audio.v1.Content`."""

    UNSPECIFIED = "unspecified"  # the engine does not say
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
    usage: Usage | None = None  # of an endpoint

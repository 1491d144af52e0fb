"""What an engine of this service takes (`SpeechItem`) and returns (`Transcript`), with units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from merrflow_serving.answers import Outcome, Usage

__all__ = ["Outcome", "Samples", "Segment", "SpeechItem", "Transcript"]

SAMPLE_RATE = 16_000  # Hz
Samples = npt.NDArray[np.float32]  # (samples,) at 16 kHz, mono


@dataclass(frozen=True, eq=False)
class SpeechItem:
    """One recording to transcribe."""

    samples: Samples
    language: str = ""  # ISO 639-1; empty: the model finds out

    @property
    def seconds(self) -> float:
        return self.samples.size / SAMPLE_RATE


@dataclass(frozen=True)
class Segment:
    """One stretch of speech."""

    start: float  # seconds from the start of the recording
    end: float
    text: str
    confidence: float  # mean probability of its tokens: exp of the average log probability
    no_speech: float | None = None  # probability that nobody speaks; None if the model does not say
    rejected: str = ""  # why it is not part of the transcript


@dataclass(frozen=True)
class Transcript:
    """What is said in a recording."""

    text: str
    segments: tuple[Segment, ...] = ()  # in order of time, those that were rejected too
    language: str = ""  # ISO 639-1
    language_probability: float = 0.0
    reason: str = ""  # why the text is empty
    outcome: Outcome = Outcome.DONE
    usage: Usage | None = None  # of an endpoint

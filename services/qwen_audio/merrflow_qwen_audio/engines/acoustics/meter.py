"""The acoustic measurement of a recording, for any engine of the service.

An engine that writes free text runs it beside its model, so that every tone comes with the same measurements and can be
checked against them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from merrflow_qwen_audio.arrays import Samples
from merrflow_qwen_audio.engines.acoustics import vad
from merrflow_qwen_audio.engines.acoustics.analysis import analyse, measurements
from merrflow_qwen_audio.engines.acoustics.frames import HOP, SAMPLE_RATE
from merrflow_qwen_audio.types import Content, Measurement, Span, Tone
from merrflow_serving.answers import Outcome
from merrflow_serving.errors import EngineFault, InvalidInput, TooLarge

AUDIBLE = 10 ** (-50 / 20)  # of the loudest sample


@dataclass(frozen=True)
class Acoustics:
    """What was measured of one recording."""

    content: Content
    measurements: tuple[Measurement, ...]
    speech: tuple[Span, ...]

    @property
    def values(self) -> dict[str, float]:
        """Name -> value in its unit."""
        return {one.name: one.value for one in self.measurements}

    def tone(self, text: str, outcome: Outcome = Outcome.DONE) -> Tone:
        """A sentence about the recording, from whatever engine, with these measurements."""
        return Tone(text, self.content, self.measurements, self.speech, outcome)


class Meter:
    """Measures recordings. The same samples give the same numbers, with any engine."""

    def __init__(self, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._vad: vad.SileroVad | None = None

    def load(self) -> None:
        """Loads the voice activity model. Raises `NotReady` if its file is missing or another one."""
        self._vad = vad.SileroVad()

    def close(self) -> None:
        self._vad = None

    def measure(self, samples: Samples) -> Acoustics:
        """(samples,) float32 at 16 kHz, mono, at its original level.

        Raises `InvalidInput` for another shape, `TooLarge` for a recording that is too long.
        """
        if self._vad is None:
            raise EngineFault("the engine is used before it is loaded")
        if samples.ndim != 1:
            raise InvalidInput(f"sound must be mono, one row of samples; this has the shape {samples.shape}")
        if samples.size > self._max_seconds * SAMPLE_RATE:
            raise TooLarge(f"the sound is longer than {self._max_seconds:g} seconds")
        samples = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=1.0, neginf=-1.0)
        centred = samples - samples.mean(dtype=np.float64).astype(np.float32) if samples.size else samples
        start = onset(centred)
        spans = vad.speech_spans(self._vad.probabilities(centred[start:]), (samples.size - start) / SAMPLE_RATE)
        early = start % HOP  # samples before the grid of frames
        analysis = analyse(samples[early:], moved(spans, start - early))
        return Acoustics(analysis.content, measurements(analysis), tuple(moved(analysis.spans, early)))


def onset(sound: Samples) -> int:
    """The first sample of (samples,) that can be heard beside the loudest; 0 if there is none.

    Frames are counted from here, so that the same sound gives the same numbers after some silence more or less.
    """
    loud = np.abs(sound) >= max(np.abs(sound).max(initial=0.0) * AUDIBLE, 1e-6)
    return int(loud.argmax()) if loud.any() else 0


def moved(spans: Sequence[Span], samples: int) -> list[Span]:
    """The spans, later by that many samples."""
    shift = samples / SAMPLE_RATE
    return [Span(span.start + shift, span.end + shift) for span in spans]

"""What every engine does with a recording before its model hears it: finds the speech in it.

A model of speech recognition invents words over silence. Speech is found by Silero VAD v6, which the library
faster-whisper carries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from merrflow_whisper.types import SAMPLE_RATE, Samples, Segment

# Speech below the usual level is amplified to it, because the voice activity detection misses faint voices.
USUAL_LEVEL, MOST_GAIN, LEVEL_WINDOW = 0.1, 30.0, 400  # RMS of the loud windows; factor; samples (25 ms)
Span = tuple[int, int]  # first sample, and the one after the last


@dataclass(frozen=True, eq=False)
class Speech:
    """The stretches of a recording in which somebody speaks, joined."""

    samples: Samples
    spans: tuple[Span, ...]  # of the recording, in order

    def seconds(self, at: float, *, end: bool = False) -> float:
        """Seconds of the recording at a second of the joined samples. end: of two stretches that meet, the first."""
        left = at * SAMPLE_RATE
        for start, stop in self.spans:
            length = stop - start
            if left < length or (end and left <= length):
                return (start + left) / SAMPLE_RATE
            left -= length
        return self.spans[-1][1] / SAMPLE_RATE if self.spans else at

    def segment(
        self, start: float, end: float, text: str, convert: str, log_probability: float | None, no_speech: float | None
    ) -> Segment:
        """What is said between two seconds of the joined samples. convert: see `converted`. log_probability: of its
        tokens, None if the model gives none."""
        return Segment(
            start=round(self.seconds(start), 3),
            end=round(self.seconds(end, end=True), 3),
            text=converted(text, convert),
            confidence=1.0 if log_probability is None else round(min(1.0, math.exp(log_probability)), 4),
            no_speech=no_speech,
        )

    def stretches(self) -> list[Span]:
        """Where each stretch is in the joined samples."""
        ends = np.cumsum([stop - start for start, stop in self.spans], dtype=int).tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True)) if ends else []


def find_speech(samples: Samples) -> Speech:
    """(samples,) at 16 kHz -> the speech in it, amplified if it is faint."""
    from faster_whisper.vad import get_speech_timestamps

    loud = levelled(samples)
    spans = tuple((int(found["start"]), int(found["end"])) for found in get_speech_timestamps(loud))
    return Speech(np.concatenate([np.zeros(0, np.float32), *(loud[start:stop] for start, stop in spans)]), spans)


def levelled(samples: Samples) -> Samples:
    """(samples,) amplified so that the loud parts (95th percentile of 25 ms) have the usual level; never damped."""
    whole = samples[: samples.size // LEVEL_WINDOW * LEVEL_WINDOW]
    if not whole.size:
        return samples
    loud = float(np.percentile(np.sqrt(np.mean(whole.reshape(-1, LEVEL_WINDOW) ** 2, axis=1)), 95))
    gain = np.clip(USUAL_LEVEL / max(loud, 1e-9), 1.0, MOST_GAIN)
    return (samples * np.float32(gain)).clip(-1.0, 1.0).astype(np.float32)


def windows(stretches: Sequence[Span], most: int) -> list[Span]:
    """Neighbouring stretches together, as many as fit into `most` samples; one that is longer is cut."""
    pieces = [(at, min(at + most, stop)) for start, stop in stretches for at in range(start, stop, most)]
    found: list[Span] = []
    for start, stop in pieces:
        if found and stop - found[-1][0] <= most:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found


def converted(text: str, convert: str) -> str:
    """The text without spaces around it, through OpenCC's configuration `convert`, such as `t2s`; "" for none."""
    text = text.strip()
    return str(_converter(convert).convert(text)) if convert else text


@cache
def _converter(name: str) -> Any:
    import opencc

    return opencc.OpenCC(name)

"""What engines of several services answer with, and how it is sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import cast

from merrflow.common.v1 import common_pb2


class Outcome(StrEnum):
    """How an engine's text came out. Names as in `merrflow.common.v1.Outcome`."""

    DONE = "done"
    TRUNCATED = "truncated"  # cut by the token limit
    REFUSED = "refused"  # the model declined, or answered nothing
    REJECTED = "rejected"  # no answer passed the service's checks
    NO_GROUND = "no_ground"  # nothing given supports what was asked for, so that nothing was written

    def to_proto(self) -> common_pb2.Outcome:
        # What the generated stubs call Outcome is an int when the program runs.
        return cast("common_pb2.Outcome", common_pb2.Outcome.Value(f"OUTCOME_{self.name}"))


@dataclass(frozen=True)
class Usage:
    """What an answer took at an endpoint, all calls for it together. Fields as in `merrflow.common.v1.Usage`."""

    endpoint: str
    model: str  # as the endpoint reported it last
    fingerprint: str = ""
    prompt_version: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    calls: int = 0
    audio_seconds: float = 0.0

    def __add__(self, later: Usage) -> Usage:
        """Of further calls for the same answer; the model is the later one's."""
        return replace(
            later,
            input_tokens=self.input_tokens + later.input_tokens,
            output_tokens=self.output_tokens + later.output_tokens,
            seconds=self.seconds + later.seconds,
            calls=self.calls + later.calls,
            audio_seconds=self.audio_seconds + later.audio_seconds,
        )

    def to_proto(self) -> common_pb2.Usage:
        return common_pb2.Usage(**asdict(self))


@dataclass(frozen=True)
class Measurement:
    """One measured quantity, as in `merrflow.common.v1.Measurement`."""

    name: str
    value: float
    unit: str  # "Hz", "semitones", "semitones/s", "dB", "dBFS", "s", "1/s", "1" for a ratio or a count


def measurement_messages(measurements: Iterable[Measurement]) -> list[common_pb2.Measurement]:
    """Measurements as they are sent."""
    return [common_pb2.Measurement(name=one.name, value=one.value, unit=one.unit) for one in measurements]

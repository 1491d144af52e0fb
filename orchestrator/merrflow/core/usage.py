"""What answers took at an endpoint elsewhere, such as a provider's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """Of one answer, all calls for it together. Mirrors merrflow.common.v1.Usage; never holds a key."""

    endpoint: str  # host[:port]
    model: str  # as the endpoint reported it
    fingerprint: str = ""  # the endpoint's own word for how its model is set up
    prompt_version: str = ""
    input_tokens: int = 0  # 0 if the endpoint does not count
    output_tokens: int = 0
    seconds: float = 0.0  # of calls, without the pauses between them
    calls: int = 0  # with those that failed and were repeated
    audio_seconds: float = 0.0  # of sound that was sent to be transcribed

"""Times in an answer, as the family's tokenizers write them: `<|19.60|>`, in seconds from the start of the sound."""

from __future__ import annotations

import re

_TIMESTAMP = re.compile(r"<\|(\d{1,2}\.\d\d)\|>")


def is_timestamp(token: str) -> bool:
    return bool(_TIMESTAMP.fullmatch(token))


def shifted(text: str, seconds: float) -> str:
    """The text with its times `seconds` later: those of a window count from its start, not from the recording's."""
    return _TIMESTAMP.sub(lambda match: f"<|{float(match[1]) + seconds:.2f}|>", text) if seconds else text


def without_timestamps(text: str) -> str:
    """The words alone."""
    return _TIMESTAMP.sub(" ", text)

"""Which of several clips is the best one: the one that stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf

from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.rules import Merit

MERITS: Mapping[Merit, Callable[[Candidate], float | None]] = {
    "fine_text": lambda clip: float(clip.fine_text),
    "face_confidence": lambda clip: clip.face_confidence,
    "face_size": lambda clip: clip.face_pixels,
    "signal_to_noise": lambda clip: clip.signal_to_noise,
    "resolution": lambda clip: float(clip.width * clip.height),
}


def rank(clip: Candidate, merits: Sequence[Merit]) -> tuple[float | str, ...]:
    """A key that sorts the best clip first. A merit that is not known comes last; the name settles what is left."""
    values = (MERITS[merit](clip) for merit in merits)
    return (*(inf if value is None else -value for value in values), clip.name)

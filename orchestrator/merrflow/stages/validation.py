"""Whether an engine's answer can be used: what is nonsense is a fault of the engine, and is not remembered.

The shapes are the types' own (types.py); here is what they do not say.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from merrflow.core.records import ActionUnitSeries, LabelScores, Outcome, Reasoning, Scene, Tone
from merrflow.stages.stage import Reply

MAX_CHARACTERS = 100_000  # of a text; the longest of MERR has 2,000


def unusable(reply: Reply) -> str:
    """Why the reply cannot be used; empty where it can."""
    if isinstance(reply.value, Scene | Tone | Reasoning):
        return _text(reply.value.text, reply.outcome)
    check = _CHECKS.get(type(reply.value))
    return check(reply.value) if check else ""


def _text(text: str, outcome: Outcome) -> str:
    if len(text) > MAX_CHARACTERS:
        return f"a text of {len(text)} characters"
    if outcome is Outcome.DONE and not text.strip():
        return "an empty text"
    return ""


def _series(series: ActionUnitSeries) -> str:
    if not series.frames:
        return "no frame was measured"
    for place, frame in enumerate(series.frames):
        if frame.index != place:
            return f"frame {frame.index} where frame {place} should be"
        for face in frame.faces:
            numbers = (*face.box, face.confidence, face.pitch, face.yaw, face.roll, *face.intensity.values())
            if not all(map(isfinite, numbers)):
                return f"a face in frame {frame.index} has a number that is none"
    return ""


def _scores(scores: LabelScores) -> str:
    shares = scores.probability.values()
    if not shares or not all(isfinite(share) and 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 0.01:
        return f"the labels' shares are {', '.join(f'{share:.3g}' for share in shares) or 'missing'}, not 1 in all"
    return ""


_CHECKS: dict[type, Callable[[Any], str]] = {ActionUnitSeries: _series, LabelScores: _scores}

"""Whether an engine's answer can be used: what is nonsense is a fault of the engine, and is not kept.

Shapes and types are checked when the answer is packed for the ledger; here is what they do not say.
"""

from __future__ import annotations

from math import isfinite

from merrflow.core.labels import LabelScores
from merrflow.core.measurements import ActionUnitSeries
from merrflow.core.records import Outcome
from merrflow.core.spoken import Translation
from merrflow.core.texts import Reasoning, Scene, Tone
from merrflow.stages.stage import Reply

MAX_CHARACTERS = 100_000  # of a text; the longest of MERR has 2,000


def text_problem(reply: Reply[Scene] | Reply[Tone] | Reply[Reasoning] | Reply[Translation]) -> str:
    """Why a text cannot be used; empty if it can."""
    text = reply.value.text
    if len(text) > MAX_CHARACTERS:
        return f"a text of {len(text)} characters"
    if reply.outcome is Outcome.DONE and not text.strip():
        return "an empty text"
    return ""


def series_problem(reply: Reply[ActionUnitSeries]) -> str:
    """Why the Action Units of a clip cannot be used; empty if they can."""
    if not reply.value.frames:
        return "no frame was measured"
    if not isfinite(reply.value.fps):
        return "the frames a second are NaN or infinite"
    for place, frame in enumerate(reply.value.frames):
        if frame.index != place:
            return f"frame {frame.index} where frame {place} should be"
        if not isfinite(frame.timestamp):
            return f"the time of frame {place} is NaN or infinite"
        for face in frame.faces:
            numbers = (*face.box, face.confidence, face.pitch, face.yaw, face.roll, *face.intensity.values())
            numbers += (*face.expression.values(), *face.embedding)
            if not isfinite(sum(numbers)) and not all(map(isfinite, numbers)):  # a finite sum has finite parts
                return f"a face in frame {frame.index} contains NaN or infinity"
    return ""


def scores_problem(reply: Reply[LabelScores]) -> str:
    """Why label scores cannot be used; empty if they can."""
    shares = reply.value.probability.values()
    if not shares or not all(isfinite(share) and 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 0.01:
        return f"the labels' shares are {', '.join(f'{share:.3g}' for share in shares) or 'missing'}, not 1 in all"
    return ""

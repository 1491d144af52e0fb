"""Whether an engine's answer can be used: what is nonsense is a fault of the engine, and is not kept.

Shapes and types are checked when the answer is packed for the ledger; here is what they do not say.
"""

from __future__ import annotations

from math import isfinite

import numpy as np

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
    frames = reply.value.frames
    if (wrong := np.flatnonzero(frames.indices != np.arange(len(frames)))).size:
        return f"frame {frames.indices[wrong[0]]} where frame {wrong[0]} should be"
    if (wrong := np.flatnonzero(~np.isfinite(frames.timestamps))).size:
        return f"the time of frame {wrong[0]} is NaN or infinite"
    sound = np.isfinite(np.column_stack([frames.box, frames.confidence, frames.pose])).all(axis=1)
    for measured in (frames.intensity, frames.expression):
        sound &= (np.isfinite(measured.values) | ~measured.there).all(axis=1)
    sound &= np.array([not look or np.isfinite(np.frombuffer(look, "<f2")).all() for look in frames.embedding], bool)
    if (wrong := np.flatnonzero(~sound)).size:
        return f"a face in frame {frames.frame_of(wrong)[0]} contains NaN or infinity"
    return ""


def scores_problem(reply: Reply[LabelScores]) -> str:
    """Why label scores cannot be used; empty if they can."""
    shares = reply.value.probability.values()
    if not shares or not all(isfinite(share) and 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 0.01:
        return f"the labels' shares are {', '.join(f'{share:.3g}' for share in shares) or 'missing'}, not 1 in all"
    return ""

"""Splits a recording into windows for a model that takes 30 seconds.

A recording that fits is one window, as in the authors' own code. A longer one is split between utterances: each window
is as many whole utterances as fit, from the start of the first to the end of the last; an utterance that does not fit
alone is split into even parts. Long pauses are thus left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from merrflow_qwen_audio.types import Span

WINDOW_SECONDS = 30.0


def windows(seconds: float, speech: Sequence[Span], longest: float = WINDOW_SECONDS) -> tuple[Span, ...]:
    """The windows of a recording of `seconds` s, in order of time, none longer than `longest` s.

    speech: when somebody speaks, in order of time, without overlap. A long recording without speech has no window.
    """
    if seconds <= longest:
        return (Span(0.0, seconds),)
    found: list[Span] = []
    for span in (part for whole in speech for part in _parts(whole, longest)):
        if found and span.end - found[-1].start <= longest:
            found[-1] = Span(found[-1].start, span.end)
        else:
            found.append(span)
    return tuple(found)


def _parts(span: Span, longest: float) -> list[Span]:
    count = max(1, math.ceil((span.end - span.start) / longest))
    edges = [span.start + (span.end - span.start) * number / count for number in range(count)] + [span.end]
    return [Span(start, end) for start, end in itertools.pairwise(edges)]

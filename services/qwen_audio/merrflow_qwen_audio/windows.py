"""Which parts of a recording a model with a window of 30 seconds hears.

A recording that fits goes whole, as its authors do it. A longer one is cut between utterances: each window is as many
whole utterances as fit, from the first one's start to the last one's end; an utterance that does not fit alone is cut
in even parts. Long stretches in which nobody speaks are thus not heard at all.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from merrflow_qwen_audio.types import Span

WINDOW_SECONDS = 30.0


def windows(seconds: float, speech: Sequence[Span], longest: float = WINDOW_SECONDS) -> tuple[Span, ...]:
    """The windows of a recording of `seconds` s, in order of time, none longer than `longest` s.

    `speech`: where somebody speaks, in order of time, without overlap. A long recording without any has no window.
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
    edges = [span.start + (span.end - span.start) * number / count for number in range(count + 1)]
    return [Span(start, end) for start, end in itertools.pairwise(edges)]

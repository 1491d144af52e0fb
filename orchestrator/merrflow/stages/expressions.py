"""What an expression network sees in the subject: a second opinion beside the Action Units, not a label."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from statistics import fmean

from merrflow.core.measurements import ActionUnitSeries, FaceFrame, Subject

NEUTRAL = "neutral"
SMOOTH_SECONDS = 0.2  # to either side of a frame; every third frame is judged, so about three judgements at 25 a second


def mean_shares(series: ActionUnitSeries, subject: Subject) -> Mapping[str, float]:
    """Class -> its mean share (0 to 1, 1 in all) over the subject's judged frames; empty if none was judged."""
    judged = [shares for _, shares in _judged(series, subject)]
    return {name: fmean(shares.get(name, 0.0) for shares in judged) for name in (judged[0] if judged else ())}


def expressiveness(series: ActionUnitSeries, subject: Subject) -> Mapping[int, float]:
    """Frame index -> how far from neutral the subject looks, 0 to 1: mean of 1 - P(neutral) around that frame.

    It ranks frames of one person (stages/shown.py); it is no measure between persons.

    Frames without a judgement near them are left out; empty if none was judged.
    """
    judged = [(frame.timestamp, 1 - shares.get(NEUTRAL, 0.0)) for frame, shares in _judged(series, subject)]
    times = [time for time, _ in judged]
    curve = {}
    for index, _ in subject.faces:
        at = series.frames[index].timestamp
        near = judged[bisect_left(times, at - SMOOTH_SECONDS) : bisect_right(times, at + SMOOTH_SECONDS)]
        if near:
            curve[index] = fmean(value for _, value in near)
    return curve


def _judged(series: ActionUnitSeries, subject: Subject) -> Iterator[tuple[FaceFrame, Mapping[str, float]]]:
    for index, place in subject.faces:
        frame = series.frames[index]
        if frame.faces[place].expression:
            yield frame, frame.faces[place].expression

"""What an expression network sees in the subject: a second opinion beside the Action Units, not a label."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from statistics import fmean

import numpy as np

from merrflow.core.faces import Whole
from merrflow.core.measurements import ActionUnitSeries, Subject

NEUTRAL = "neutral"
SMOOTH_SECONDS = 0.2  # to either side of a frame; every third frame is judged, so about three judgements at 25 a second


def mean_shares(series: ActionUnitSeries, subject: Subject) -> Mapping[str, float]:
    """Class -> its mean share (0 to 1, 1 in all) over the subject's judged frames; empty if none was judged."""
    judged = _judged(series, subject)
    if not len(judged):
        return {}
    shares = series.frames.expression
    classes = shares.of(int(judged[0]))
    return {name: fmean(shares.column(name)[judged].tolist()) for name in classes}


def expressiveness(series: ActionUnitSeries, subject: Subject) -> Mapping[int, float]:
    """Frame index -> how far from neutral the subject looks, 0 to 1: mean of 1 - P(neutral) around that frame.

    It ranks frames of one person (stages/shown.py); it is no measure between persons.

    Frames without a judgement near them are left out; empty if none was judged.
    """
    judged = _judged(series, subject)
    if not len(judged):
        return {}
    frames = series.frames
    times = frames.timestamps[frames.frame_of(judged)].tolist()
    values = (1 - frames.expression.column(NEUTRAL)[judged]).tolist()
    seen = [index for index, _ in subject.faces]
    curve = {}
    for index, at in zip(seen, frames.timestamps[frames.places(np.array(seen, np.int64))].tolist(), strict=True):
        near = values[bisect_left(times, at - SMOOTH_SECONDS) : bisect_right(times, at + SMOOTH_SECONDS)]
        if near:
            curve[index] = fmean(near)
    return curve


def _judged(series: ActionUnitSeries, subject: Subject) -> Whole:
    """Rows of the subject's faces that were judged."""
    if not subject.faces:  # as of a peak from MERR's JSON, which has no frames
        return np.zeros(0, np.int64)
    there = series.frames.expression.there
    rows = series.frames.rows(subject.faces)
    return rows[there[rows].any(axis=1)]

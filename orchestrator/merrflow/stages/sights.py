"""Faces as following a person takes them: a few numbers of each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isnan
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from merrflow.core.faces import FaceFrames

Box = tuple[float, float, float, float]


class Sight(NamedTuple):
    """See `Face`."""

    box: Box
    confidence: float
    pitch: float
    yaw: float
    roll: float
    mouth_opening: float | None = None
    embedding: Sequence[float] = ()


def sights(frames: FaceFrames, minimum_confidence: float) -> list[tuple[int, list[tuple[int, Sight]]]]:
    """Of each frame, ascending, its index and the faces that are sure enough to be followed and have at least a pixel,
    each with its place among all faces of the frame."""
    looks = (np.frombuffer(look, "<f2").astype(np.float64) if look else () for look in frames.embedding)
    openings = (None if isnan(opening) else opening for opening in frames.mouth_opening.tolist())
    boxes = map(tuple, frames.box.tolist())
    numbers = zip(boxes, frames.confidence.tolist(), *frames.pose.T.tolist(), openings, looks, strict=True)
    faces = list(map(Sight._make, numbers))
    sure = ((frames.confidence >= minimum_confidence) & (frames.box[:, 2:].min(axis=1) >= 1)).tolist()
    seen = (
        [(row - start, faces[row]) for row in range(start, end) if sure[row]]
        for start, end in pairwise(frames.first.tolist())
    )
    return sorted(zip(frames.indices.tolist(), seen, strict=True), key=itemgetter(0))

"""FaceLandmarker's landmarks by their place in the face, an expression as numbers, and what it does to the landmarks.

Action Units are those of FACS (Ekman, Friesen and Hager, 2002).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Points = Floats  # (n, 2) float64, pixels of the photograph, (x, y)

# FaceLandmarker's indices, from the image's left to its right.
UPPER_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
# Rings inside the red of the lips: the outer and inner contours already say where they go.
# fmt: off
LIP_BODY = (
    184, 74, 73, 72, 11, 302, 303, 304, 408, 183, 42, 41, 38, 12, 268, 271, 272, 407, 77, 90,
    180, 85, 16, 315, 404, 320, 307, 96, 89, 179, 86, 15, 316, 403, 319, 325, 76, 62, 306, 292,
)
# fmt: on
EYES = (  # (upper lid, lower lid) of each eye, corner to corner
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
IRISES = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))  # centre and rim, in the order of EYES
BROWS = ((70, 63, 105, 66, 107, 46, 53, 52, 65, 55), (300, 293, 334, 296, 336, 276, 283, 282, 295, 285))
BROW_EDGES = ((46, 53, 52, 65, 55), (285, 295, 282, 283, 276))  # lower edges, left to right
NOSE_BRIDGE, OUTER_CORNERS = 168, (33, 263)
LANDMARKS = 468  # the irises come after; a warp keeps them where they are


@dataclass(frozen=True)
class Expression:
    """One moment of a face. Action Units run from 0 (absent) to 1 (strongest); angles are in degrees."""

    au01: float = 0.0
    au02: float = 0.0
    au04: float = 0.0
    au05: float = 0.0
    au06: float = 0.0
    au07: float = 0.0
    au12: float = 0.0
    au15: float = 0.0
    au17: float = 0.0
    au20: float = 0.0
    au18: float = 0.0
    au25: float = 0.0  # lips part without the jaw
    au26: float = 0.0  # jaw drop
    au45: float = 0.0  # lids closed
    gaze_down: float = 0.0
    pitch: float = 0.0  # positive: chin down
    yaw: float = 0.0  # positive: face turns to the image's right
    roll: float = 0.0  # positive: head tilts to the image's right
    rise: float = 0.0  # head up, face units


@dataclass(frozen=True)
class Targets:
    """Control points at rest and moved, both (n, 2) in photograph pixels.

    The mouth and the eyes cut the face: `upper` and `lower` index the controls that hold the skin above and
    below the mouth, `lids` those that hold the upper lids, which slide over the eyes without pulling the
    lower ones. `skull` (2, 3) is the affine map of the head's rigid motion, which the upper teeth follow;
    `jaw` (2, 3) adds the jaw's drop.
    """

    source: Points
    moved: Points
    upper: Floats
    lower: Floats
    lids: Floats
    skull: Floats
    jaw: Floats

"""BlazeFace, short range: faces in a small picture (Bazarevsky et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.mediapipe.images import Image, warp
from merrflow_openface_au.engines.mediapipe.tflite import TfliteNetwork
from merrflow_openface_au.types import Box

SIDE = 128  # pixels that the network sees
CELLS = ((16, 2), (8, 6))  # cells along a side, and boxes in each
SAME = 0.3  # overlap, over the union, of boxes that are one face
POINTS = 6  # right eye, left eye, nose tip, mouth, right ear, left ear

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Found:
    """One face, in pixels of the picture."""

    box: Box  # brows to chin
    score: float  # 0 to 1
    points: Floats  # (6, 2)

    def moved(self, factor: float, corner: tuple[float, float]) -> Found:
        """In a picture that is `factor` times as large and of which this one is the part at `corner`."""
        x, y, width, height = (factor * value for value in self.box)
        return Found((x + corner[0], y + corner[1], width, height), self.score, self.points * factor + corner)


class BlazeFace:
    """The network with its boxes. Not thread-safe."""

    def __init__(self, model: bytes, min_score: float) -> None:
        """model: the bytes of face_detector.tflite. min_score: of a face."""
        self._network = TfliteNetwork(model)
        self._min_score = min_score
        self._centres = _centres()

    def detect(self, image: Image) -> list[Found]:
        """Faces in (height, width, 3) RGB, highest score first, each once."""
        height, width = image.shape[:2]
        pixel = max(height, width) / SIDE  # the picture is fitted into the network's square, black beside it
        corner = np.array([width, height], np.float64) / 2 - max(height, width) / 2
        small = warp(image, np.array([[pixel, 0, corner[0]], [0, pixel, corner[1]]]), SIDE, is_black_outside=True)
        places, logits = self._network.run(small, 1 / 127.5, -1.0)
        scores = 1 / (1 + np.exp(-np.clip(logits[0, :, 0].astype(np.float64), -100, 100)))
        sure = np.flatnonzero(scores >= self._min_score)
        sure = sure[np.argsort(-scores[sure], kind="stable")]
        found = places[0, sure].astype(np.float64).reshape(-1, 2 + POINTS, 2)  # centre, size, points
        found[:, 0] += self._centres[sure]
        found[:, 2:] += self._centres[sure, None]
        return [_in_picture(face, score, pixel, corner) for face, score in _joined(found, scores[sure])]


def _centres() -> Floats:
    """(896, 2) of the network's boxes, in pixels of its square."""
    kinds = []
    for cells, boxes in CELLS:
        y, x = np.indices((cells, cells)).reshape(2, -1, 1)
        kinds.append(np.repeat((np.concatenate([x, y], axis=1) + 0.5) * (SIDE / cells), boxes, axis=0))
    return np.concatenate(kinds)


def _joined(found: Floats, scores: Floats) -> list[tuple[Floats, float]]:
    """Means, weighted by score, of the boxes that are one face, as in MediaPipe; with the highest score of each."""
    faces = []
    low, high = found[:, 0] - found[:, 1] / 2, found[:, 0] + found[:, 1] / 2
    areas = found[:, 1].prod(axis=1)
    left = np.arange(len(scores))
    while len(left):
        first = left[0]
        common = np.clip(np.minimum(high[left], high[first]) - np.maximum(low[left], low[first]), 0, None).prod(axis=1)
        is_same = common > SAME * (areas[left] + areas[first] - common)
        is_same[0] = True
        group = left[is_same]
        weights = scores[group] / scores[group].sum()
        faces.append((np.einsum("n,nij->ij", weights, found[group]), float(scores[first])))
        left = left[~is_same]
    return faces


def _in_picture(face: Floats, score: float, pixel: float, corner: Floats) -> Found:
    (x, y), (width, height) = face[0] - face[1] / 2, face[1]
    in_square = Found((float(x), float(y), float(width), float(height)), score, face[2:])
    return in_square.moved(pixel, (float(corner[0]), float(corner[1])))

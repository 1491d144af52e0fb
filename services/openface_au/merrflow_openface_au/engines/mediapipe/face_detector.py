"""Finds faces with BlazeFace, in whole pictures and in enlarged tiles, and checks tracked faces.

BlazeFace: Bazarevsky et al. 2019, "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs". The
short-range network sees 128 x 128 pixels, so it misses a face under a tenth of the picture's width; in a tile it
finds it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.mediapipe.blaze_face import BlazeFace, Found
from merrflow_openface_au.engines.mediapipe.geometry import DETECTOR_POINTS, overlap
from merrflow_openface_au.engines.mediapipe.images import Image, brighten, brightness, crop_around, shrink, tiles
from merrflow_openface_au.engines.mediapipe.rules import Search
from merrflow_openface_au.types import Box

INPUT_SIDE = 256  # pixels; twice what the network sees, so that its own resampling still has detail

SURE = 0.8  # score of a face; once one is found, no finer search is needed
CHECK_SCALE = 2.0  # side of the crop a face is checked in, in sizes of the face


@dataclass(frozen=True, eq=False)
class Detection:
    """One face that the detector sees."""

    box: Box  # pixels: brows to chin
    score: float  # 0 to 1
    points: npt.NDArray[np.float64]  # (4, 2) pixels: right eye, left eye, nose tip, mouth
    first_pass: bool  # found in the whole picture as it is

    def enlarged(self, factor: float) -> Detection:
        """In the picture that was shrunk by `factor`."""
        x, y, width, height = (value / factor for value in self.box)
        return replace(self, box=(x, y, width, height), points=self.points / factor)


class FaceDetector:
    """The face detector of the model bundle. Not thread-safe."""

    def __init__(self, model: bytes, search: Search) -> None:
        """model: the bytes of face_detector.tflite."""
        self._search = search
        self._network = BlazeFace(model, min(search.min_score, search.min_check_score, search.min_crop_score))

    def find(self, image: Image) -> list[Detection]:
        """Faces in (height, width, 3) RGB, highest score first, each once."""
        found = self._detect(image, 0, 0, first_pass=True)
        if brightness(image) < self._search.dark_below:
            image = brighten(image, self._search.bright_target)
        height, width = image.shape[:2]
        for fine in (False, True):
            squares = tiles(width, height, fine=fine)
            longest = max(round(INPUT_SIDE * max(width, height) / squares[0][2]), 1)
            small, factor = shrink(image, longest)  # once for all squares, which overlap
            for place in squares:
                left, top, side = (round(value * factor) for value in place)
                tile = small[top : top + side, left : left + side]
                found += [face.enlarged(factor) for face in self._detect(tile, left, top, first_pass=False)]
            sure = [face for face in found if face.score >= self._search.min_score]
            if any(face.score >= SURE for face in sure):  # the finest tiles only if no face is sure yet
                break
        return [face for face in _unique(sure) if face.score >= SURE or self._confirmed(image, face.box)]

    def check(self, image: Image, box: Box, mesh: npt.NDArray[np.float32]) -> tuple[float, float] | None:
        """A second opinion on a tracked face, independent of the network that tracks it.

        mesh: (478, 3) pixels. Returns the detector's score on a crop around `box`, and the mean distance of its eyes,
        nose and mouth from the mesh's, as a share of the box's size; None if it sees no face there.
        """
        best = self._best_near(image, box)
        if best is None:
            return None
        expected = np.array([mesh[list(points), :2].mean(axis=0) for points in DETECTOR_POINTS])
        distance = float(np.linalg.norm(best.points - expected, axis=1).mean() / max(*box[2:], 1e-6))
        return best.score, distance

    def best_in(self, crop: Image) -> Found | None:
        """The face with the highest score in a crop around one."""
        small, factor = shrink(crop, INPUT_SIDE)
        best = next(iter(self._network.detect(small)), None)
        if best is None or best.score < self._search.min_crop_score:
            return None
        return best.moved(1 / factor, (0, 0))

    def _confirmed(self, image: Image, box: Box) -> bool:
        """Whether a doubtful detection holds on a closer look, which is cheaper than tracking it in vain."""
        closer = self._best_near(image, box)
        return closer is not None and closer.score >= self._search.min_check_score

    def _best_near(self, image: Image, box: Box) -> Detection | None:
        """The detection with the highest score around `box`, on a crop of its own."""
        x, y, width, height = box
        side = CHECK_SCALE * max(width, height)
        crop, left, top = crop_around(image, (x + width / 2, y + height / 2), side)
        if brightness(crop) < self._search.dark_below:
            crop = brighten(crop, self._search.bright_target)
        seen = self._detect(crop, left, top, first_pass=False)
        near = [face for face in seen if overlap(face.box, box) > 0.5]
        return max(near, key=lambda face: face.score, default=None)

    def _detect(self, image: Image, left: int, top: int, *, first_pass: bool) -> list[Detection]:
        small, factor = shrink(image, INPUT_SIDE)
        least = min(self._search.min_score, self._search.min_check_score)
        found = [face.moved(1 / factor, (left, top)) for face in self._network.detect(small) if face.score >= least]
        return [Detection(face.box, face.score, face.points[: len(DETECTOR_POINTS)], first_pass) for face in found]


def _unique(found: list[Detection]) -> list[Detection]:
    """The best of each group of overlapping boxes; it counts as first pass if any of them does."""
    kept: list[Detection] = []
    for face in sorted(found, key=lambda face: -face.score):
        same = next((i for i, other in enumerate(kept) if overlap(face.box, other.box) > 0.5), None)
        if same is None:
            kept.append(face)
        elif face.first_pass and not kept[same].first_pass:
            kept[same] = replace(kept[same], first_pass=True)
    return kept

"""Follows one face through a shot: each frame's mesh says where the next one is looked for.

The detector is asked only if the face was lost. A track keeps all state of its face, so that nothing carries over from
another shot, person or clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.mediapipe.face_detector import Detection, FaceDetector
from merrflow_openface_au.engines.mediapipe.face_mesh import FaceMesh, Region, region_of_detection, region_of_points
from merrflow_openface_au.engines.mediapipe.face_networks import NOT_LOOKED, FaceNetworks, Looks
from merrflow_openface_au.engines.mediapipe.geometry import bounding_box, overlap
from merrflow_openface_au.engines.mediapipe.images import (
    Image,
    brightening,
    brightness,
    crop_around,
    crop_place,
    shrink,
)
from merrflow_openface_au.engines.mediapipe.rules import Search
from merrflow_openface_au.engines.mediapipe.smoothing import Smoother
from merrflow_openface_au.types import Box

CROP_PIXELS = 900  # of a much larger crop, what the mesh network sees is shrunk first, so that it skips no detail
SHRUNK_SIDE = 1.5  # of the part that is shrunk, in sides of what the network sees: it may be turned
MIN_OVERLAP = 0.3  # of a face's boxes in two consecutive frames, as a share of the smaller box


@dataclass(frozen=True, eq=False)
class Models:
    """What an engine loads to follow faces."""

    search: Search
    detector: FaceDetector
    mesh: FaceMesh
    networks: FaceNetworks


@dataclass(frozen=True, eq=False)
class Sample:
    """What was seen of one face in one frame."""

    points: npt.NDArray[np.float32]  # (478, 3), pixels of the frame; z in the same unit, smaller is nearer
    blendshapes: npt.NDArray[np.float32]  # (52,), 0 to 1
    matrix: npt.NDArray[np.float32]  # (4, 4), canonical face to camera
    looks: Looks = NOT_LOOKED

    @cached_property
    def box(self) -> Box:
        return bounding_box(self.points)


class FaceTrack:
    """One face from the frame in which it was found; `step` takes frames in display order.

    A track keeps a sample for each frame in which the face was seen, and the confidence of each frame in which the
    detector confirmed it.
    """

    def __init__(self, models: Models, seed: Detection) -> None:
        """seed: where the face was found."""
        self._models = models
        self._search = models.search
        self._seen = 0  # samples so far, with those that were dropped
        self._clock = -1  # ms, strictly rising
        self._region: Region | None = None  # where the face is looked for; None: it is to be detected
        self._smoother = Smoother()
        self._crop: tuple[float, float, float] | None = None  # centre x, centre y, side
        self._box = _expected_mesh_box(seed.box)
        self._first_pass = seed.first_pass
        self._samples: dict[int, Sample] = {}  # by frame index
        self._confidences: dict[int, float] = {}  # by frame index

    @property
    def box(self) -> Box:
        """Where the face was seen last."""
        return self._box

    @property
    def first_pass(self) -> bool:
        """Whether a search found the face in a whole picture as it is."""
        return self._first_pass

    @property
    def samples(self) -> Mapping[int, Sample]:
        """By frame index."""
        return MappingProxyType(self._samples)

    def found_again(self, detection: Detection) -> None:
        """Another search found this face."""
        self._first_pass |= detection.first_pass

    def confirm(self, index: int, confidence: float) -> None:
        """Notes that the detector confirmed the face in a frame."""
        self._confidences[index] = confidence

    def drop(self, index: int) -> None:
        """Forgets the sample of a frame."""
        del self._samples[index]

    def drop_unconfirmed(self) -> None:
        """Forgets the samples after the last confirmed frame."""
        confirmed = max(self._confidences, default=-1)
        self._samples = {index: sample for index, sample in self._samples.items() if index <= confirmed}

    def confidence_at(self, index: int) -> float:
        """Confidence in a frame, 0 to 1: interpolated linearly between confirmed frames. Needs at least one."""
        confirmed = sorted(self._confidences)
        return float(np.interp(index, confirmed, [self._confidences[i] for i in confirmed]))

    def step(self, index: int, timestamp: float, image: Image) -> Sample | None:
        """Looks for the face in the next frame: (height, width, 3) RGB. None if it is not seen."""
        place = crop_place(image, *self._crop_square())
        lut = None
        if brightness(self._face_part(image)) < self._search.dark_below:
            lut = brightening(_part(image, place), self._search.bright_target)
        self._clock = max(round(timestamp * 1000), self._clock + 1)
        sample = self._look(image, place, lut)
        if sample is None or (index - 1 in self._samples and overlap(sample.box, self._box) < MIN_OVERLAP):
            return None  # not seen, or the search took a neighbour for this face
        sample = replace(sample, looks=self._models.networks.look(image, sample.points, self._seen))
        self._seen += 1
        self._samples[index] = sample
        self._box = sample.box
        return sample

    def _crop_square(self) -> tuple[tuple[float, float], float]:
        """Centre and side of the crop. It rests until the face has moved, because it is the camera's view."""
        x, y, width, height = self._box
        center, side = (x + width / 2, y + height / 2), self._search.crop_scale * max(width, height)
        if self._crop is not None:
            moved = max(abs(center[0] - self._crop[0]), abs(center[1] - self._crop[1]))
            if moved < 0.08 * side and 0.8 < side / self._crop[2] < 1.25:
                return self._crop[:2], self._crop[2]
        self._crop = (*center, side)
        return center, side

    def _face_part(self, image: Image) -> Image:
        x, y, width, height = self._box
        return _part(image, crop_place(image, (x + width / 2, y + height / 2), min(width, height)))

    def _look(self, image: Image, place: tuple[int, int, int, int], lut: npt.NDArray[np.uint8] | None) -> Sample | None:
        """place: left, top, width and height of the crop. The face is where it was, or it is detected in the crop."""
        points = self._mesh(image, self._region, place, lut)
        if points is None:
            self._smoother.forget()
            points = self._mesh(image, self._detected(image, place, lut), place, lut)
        self._region = None if points is None else region_of_points(points)
        if points is None:
            return None
        points = self._smoother.add(points, self._clock / 1000)
        matrix = self._models.mesh.matrix(points, place)
        blendshapes = self._models.mesh.blendshapes(points)
        return None if matrix is None or not np.isfinite(blendshapes).all() else Sample(points, blendshapes, matrix)

    def _detected(
        self, image: Image, place: tuple[int, int, int, int], lut: npt.NDArray[np.uint8] | None
    ) -> Region | None:
        crop = _part(image, place)
        found = self._models.detector.best_in(crop if lut is None else lut[crop])
        return None if found is None else region_of_detection(found.moved(1, place[:2]))

    def _mesh(
        self, image: Image, region: Region | None, place: tuple[int, int, int, int], lut: npt.NDArray[np.uint8] | None
    ) -> npt.NDArray[np.float32] | None:
        """(478, 3) pixels of the picture; None if there is no face in the region."""
        if region is None:
            return None
        left, top, factor = 0, 0, 1.0
        if max(place[2:]) > 1.5 * CROP_PIXELS:
            image, left, top = crop_around(image, (region.x, region.y), SHRUNK_SIDE * region.side)
            image, factor = shrink(image, max(round(max(image.shape[:2]) * CROP_PIXELS / max(place[2:])), 8))
            region = replace(
                region, x=(region.x - left) * factor, y=(region.y - top) * factor, side=region.side * factor
            )
        points, presence = self._models.mesh.points(image, region, lut)
        if presence <= self._search.min_presence or not np.isfinite(points).all():
            return None
        points /= np.float32(factor)
        points[:, :2] += np.array((left, top), np.float32)
        return points


def _part(image: Image, place: tuple[int, int, int, int]) -> Image:
    left, top, width, height = place
    return image[top : top + height, left : left + width]


def _expected_mesh_box(box: Box) -> Box:
    """About where the mesh will be for a detector's box: 1.2 times as large."""
    x, y, width, height = box
    return (x - 0.1 * width, y - 0.1 * height, 1.2 * width, 1.2 * height)

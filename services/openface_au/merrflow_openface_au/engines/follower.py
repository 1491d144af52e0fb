"""Follows one face through a shot with MediaPipe's FaceLandmarker in VIDEO mode on a crop around it.

One landmarker for each face: the crop makes small faces large for the detector inside it, one face per
landmarker skips that detector while tracking holds, and a new landmarker for each face and shot leaves no
state that could carry over from another shot, person or clip (it costs 20 to 40 ms).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from merrflow_openface_au.engines import landmarks
from merrflow_openface_au.engines.finder import Found
from merrflow_openface_au.geometry import bounding_box, overlap
from merrflow_openface_au.mapping import Search
from merrflow_openface_au.picture import brighten, brightness, crop_around, shrink
from merrflow_serving.quiet import quiet_stderr

CROP_PIXELS = 900  # a crop much larger is shrunk: the landmarker sees the face at 256 x 256 or less

MIN_OVERLAP = 0.3  # of a face's boxes in two frames in a row, over the smaller


@dataclass(frozen=True, eq=False)
class Sample:
    """What the landmarker saw of one face in one frame."""

    points: np.ndarray  # (478, 3) float32, pixels of the frame; z in the same unit, smaller is nearer
    blendshapes: np.ndarray  # (52,) float32, 0 to 1
    matrix: np.ndarray  # (4, 4) float32, canonical face to camera

    @property
    def box(self) -> tuple[float, float, float, float]:
        return bounding_box(self.points)


class Follower:
    """One face from where it was found; `step` takes frames in order of display."""

    def __init__(self, bundle: bytes, seed: Found, search: Search) -> None:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        self._mediapipe = mediapipe
        self._search = search
        self._clock = -1  # ms, strictly rising
        self._fresh = True
        self._crop: tuple[float, float, float] | None = None  # center x, center y, side
        self.box = _mesh_box(seed.box)
        self.first_pass = seed.first_pass
        self.samples: dict[int, Sample] = {}  # by frame index
        self.checks: dict[int, float] = {}  # confidence by frame index
        with quiet_stderr():
            self._landmarker = vision.FaceLandmarker.create_from_options(
                vision.FaceLandmarkerOptions(
                    base_options=BaseOptions(model_asset_buffer=bundle),
                    running_mode=vision.RunningMode.VIDEO,
                    num_faces=1,
                    min_face_detection_confidence=search.min_crop_score,
                    min_face_presence_confidence=search.min_presence,
                    min_tracking_confidence=0.5,
                    output_face_blendshapes=True,
                    output_facial_transformation_matrixes=True,
                )
            )

    def close(self) -> None:
        """Frees the landmarker; samples and checks stay."""
        if self._landmarker is not None:
            self._landmarker.close()
            self._landmarker = None

    def step(self, index: int, timestamp: float, image: np.ndarray) -> Sample | None:
        """Looks for the face in the next frame: (height, width, 3) uint8 RGB. None where it is not seen."""
        crop, left, top = crop_around(image, *self._place())
        if max(crop.shape[:2]) > 1.5 * CROP_PIXELS:  # a little too large costs less than resampling
            crop, factor = shrink(crop, CROP_PIXELS)
        else:
            factor = 1.0
        if brightness(self._face_part(image)) < self._search.dark_below:
            crop = brighten(crop, self._search.bright_target)
        clock = max(round(timestamp * 1000), self._clock + 1)
        sample = self._look(crop, factor, left, top, clock)
        if sample is None and index - 1 in self.samples:
            # Tracking was lost just now, and only the next call searches anew: call again on the same frame.
            sample = self._look(crop, factor, left, top, clock + 1)
        if sample is None or (index - 1 in self.samples and overlap(sample.box, self.box) < MIN_OVERLAP):
            return None  # not seen, or the search took a neighbour for this face
        self.samples[index] = sample
        self.box = sample.box
        return sample

    def _place(self) -> tuple[tuple[float, float], float]:
        """Centre and side of the crop. It rests until the face has moved, because it moves the tracker."""
        x, y, width, height = self.box
        center, side = (x + width / 2, y + height / 2), self._search.crop_scale * max(width, height)
        if self._crop is not None:
            moved = max(abs(center[0] - self._crop[0]), abs(center[1] - self._crop[1]))
            if moved < 0.08 * side and 0.8 < side / self._crop[2] < 1.25:
                return self._crop[:2], self._crop[2]
        self._crop = (*center, side)
        return center, side

    def _face_part(self, image: np.ndarray) -> np.ndarray:
        x, y, width, height = self.box
        return crop_around(image, (x + width / 2, y + height / 2), min(width, height))[0]

    def _look(self, crop: np.ndarray, factor: float, left: int, top: int, clock: int) -> Sample | None:
        self._clock = clock
        picture = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=crop)
        if self._fresh:
            self._fresh = False
            with quiet_stderr():
                found = landmarks.detect(self._landmarker, picture, clock)
        else:
            found = landmarks.detect(self._landmarker, picture, clock)
        if found is None:
            return None
        height, width = crop.shape[:2]
        points, blendshapes, matrix = found.points, found.blendshapes, found.matrix
        points *= np.array((width, height, width), np.float32) / factor  # z is given in widths
        points[:, :2] += (left, top)
        if not (np.isfinite(points).all() and np.isfinite(matrix).all() and np.isfinite(blendshapes).all()):
            return None
        return Sample(points, blendshapes, matrix)


def _mesh_box(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """About where the mesh will lie for a detector's box: 1.2 times as large."""
    x, y, width, height = box
    return (x - 0.1 * width, y - 0.1 * height, 1.2 * width, 1.2 * height)

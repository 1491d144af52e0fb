"""Follows one face through a shot with MediaPipe's FaceLandmarker in VIDEO mode on a crop around it.

One landmarker per face: the crop makes small faces large for the detector inside the landmarker, a landmarker for a
single face skips that detector while tracking holds, and a new landmarker for each face and shot leaves no state that
could carry over from another shot, person or clip (it costs 20 to 40 ms).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.mediapipe import landmarks
from merrflow_openface_au.engines.mediapipe.face_detector import Detection
from merrflow_openface_au.engines.mediapipe.face_networks import NOT_LOOKED, FaceNetworks, Looks
from merrflow_openface_au.engines.mediapipe.geometry import bounding_box, overlap
from merrflow_openface_au.engines.mediapipe.images import Image, brighten, brightness, crop_around, shrink
from merrflow_openface_au.engines.mediapipe.rules import Search
from merrflow_openface_au.types import Box
from merrflow_serving.quiet import quiet_stderr

CROP_PIXELS = 900  # a much larger crop is shrunk: the landmarker sees the face at 256 x 256 or less

MIN_OVERLAP = 0.3  # of a face's boxes in two consecutive frames, as a share of the smaller box


@dataclass(frozen=True, eq=False)
class Sample:
    """What the landmarker saw of one face in one frame."""

    points: npt.NDArray[np.float32]  # (478, 3), pixels of the frame; z in the same unit, smaller is nearer
    blendshapes: npt.NDArray[np.float32]  # (52,), 0 to 1
    matrix: npt.NDArray[np.float32]  # (4, 4), canonical face to camera
    looks: Looks = NOT_LOOKED

    @property
    def box(self) -> Box:
        return bounding_box(self.points)


class FaceTrack:
    """One face from the frame in which it was found; `step` takes frames in display order.

    A track keeps a sample for each frame in which the face was seen, and the confidence of each frame in which the
    detector confirmed it.
    """

    def __init__(self, bundle: bytes, seed: Detection, search: Search, networks: FaceNetworks) -> None:
        """bundle: the bytes of face_landmarker.task. seed: where the face was found."""
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        self._mediapipe = mediapipe
        self._search = search
        self._networks = networks
        self._seen = 0  # samples so far, with those that were dropped
        self._clock = -1  # ms, strictly rising
        self._is_first_call = True
        self._crop: tuple[float, float, float] | None = None  # centre x, centre y, side
        self._box = _expected_mesh_box(seed.box)
        self._first_pass = seed.first_pass
        self._samples: dict[int, Sample] = {}  # by frame index
        self._confidences: dict[int, float] = {}  # by frame index
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

    def close(self) -> None:
        """Frees the landmarker; samples and confidences stay."""
        if self._landmarker is not None:
            self._landmarker.close()
            self._landmarker = None

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
        crop, left, top = crop_around(image, *self._crop_place())
        if max(crop.shape[:2]) > 1.5 * CROP_PIXELS:  # a slightly larger crop costs less than resampling
            crop, factor = shrink(crop, CROP_PIXELS)
        else:
            factor = 1.0
        if brightness(self._face_part(image)) < self._search.dark_below:
            crop = brighten(crop, self._search.bright_target)
        clock = max(round(timestamp * 1000), self._clock + 1)
        sample = self._detect(crop, factor, left, top, clock)
        if sample is None and index - 1 in self._samples:
            # Tracking was lost just now, and only the next call searches again: call once more on the same frame.
            sample = self._detect(crop, factor, left, top, clock + 1)
        if sample is None or (index - 1 in self._samples and overlap(sample.box, self._box) < MIN_OVERLAP):
            return None  # not seen, or the search took a neighbour for this face
        sample = replace(sample, looks=self._networks.look(image, sample.points, self._seen))
        self._seen += 1
        self._samples[index] = sample
        self._box = sample.box
        return sample

    def _crop_place(self) -> tuple[tuple[float, float], float]:
        """Centre and side of the crop. It rests until the face has moved, because moving it moves the tracker."""
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
        return crop_around(image, (x + width / 2, y + height / 2), min(width, height))[0]

    def _detect(self, crop: Image, factor: float, left: int, top: int, clock: int) -> Sample | None:
        self._clock = clock
        picture = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=crop)
        if self._is_first_call:
            self._is_first_call = False
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


def _expected_mesh_box(box: Box) -> Box:
    """About where the mesh will be for a detector's box: 1.2 times as large."""
    x, y, width, height = box
    return (x - 0.1 * width, y - 0.1 * height, 1.2 * width, 1.2 * height)

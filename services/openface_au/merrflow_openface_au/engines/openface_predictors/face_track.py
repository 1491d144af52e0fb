"""A face that is followed as by the `mediapipe` engine, and described for OpenFace's predictors on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.mediapipe.face_detector import Detection
from merrflow_openface_au.engines.mediapipe.face_track import FaceTrack, Models, Sample
from merrflow_openface_au.engines.mediapipe.images import Image
from merrflow_openface_au.engines.openface_predictors.descriptor import Described, Describer
from merrflow_openface_au.engines.openface_predictors.predict import FrameNumbers, Responses, action_units
from merrflow_openface_au.engines.openface_predictors.shape_model import Fit
from merrflow_openface_au.types import ActionUnitValue

EVERY = 2  # a person's median is that of every second frame, as in OpenFace
MOST_KEPT = 1000  # descriptors of a face; 19 MB


@dataclass(frozen=True, eq=False)
class Predicting:
    """What an engine loads for all faces."""

    describer: Describer
    responses: Responses
    action_units: tuple[str, ...]  # ascending


class PredictedTrack(FaceTrack):
    """Keeps, for each frame, the predictors' values, and a bounded sample of descriptors for the face's median."""

    def __init__(self, models: Models, seed: Detection, predicting: Predicting) -> None:
        super().__init__(models, seed)
        self._describer = predicting.describer
        self._responses = predicting.responses
        self._values: dict[int, npt.NDArray[np.float64]] = {}  # by frame index: (predictors,)
        self._kept: dict[int, npt.NDArray[np.float32]] = {}  # by frame index: a descriptor
        self._every = EVERY
        self._before: tuple[int, Fit] | None = None

    def step(self, index: int, timestamp: float, image: Image) -> Sample | None:
        """As in `FaceTrack`."""
        sample = super().step(index, timestamp, image)
        if sample is not None:
            before = self._before[1] if self._before is not None and self._before[0] == index - 1 else None
            described = self._describer.describe(image, sample.points, before)
            self._before = (index, described.fit)
            if len(self._values) % self._every == 0:
                self._keep(index, described)
            self._values[index] = self._responses.of(described.values)
        return sample

    def action_units(self, indices: FrameNumbers) -> list[dict[str, ActionUnitValue]]:
        """Of each of these frames of the face, which must be among `samples`."""
        kept = [values for index, values in self._kept.items() if index in self.samples]
        if not kept:  # only frames between the kept ones were confirmed; the nearest say more than none
            kept = list(self._kept.values())
        median = np.median(np.stack(kept), axis=0)
        values = self._responses.personal(np.stack([self._values[index] for index in indices]), median)
        return action_units(self._responses.predictors, values, indices)

    def _keep(self, index: int, described: Described) -> None:
        self._kept[index] = described.values
        if len(self._kept) > MOST_KEPT:  # of a long track every fourth frame, then every eighth
            self._kept = dict(list(self._kept.items())[::2])
            self._every *= 2

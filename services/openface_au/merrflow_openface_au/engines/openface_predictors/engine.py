"""The `openface_predictors` engine: OpenFace's linear predictors on the faces and points that MediaPipe finds.

The model files belong to the user, who has accepted OpenFace's licence (academic, non-commercial). No code of OpenFace
is used: the papers and the files' format say how the predictors work. What is measured is near OpenFace's own measures,
and is not them: docs/benchmarks.md says how near.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from merrflow_openface_au.engines.mediapipe.action_units import FrameNumbers
from merrflow_openface_au.engines.mediapipe.engine import MediapipeEngine
from merrflow_openface_au.engines.mediapipe.face_detector import Detection
from merrflow_openface_au.engines.mediapipe.face_mesh import STAMP
from merrflow_openface_au.engines.mediapipe.face_networks import wanted_networks
from merrflow_openface_au.engines.mediapipe.face_track import FaceTrack, Models
from merrflow_openface_au.engines.mediapipe.pool import MediapipePool
from merrflow_openface_au.engines.mediapipe.rules import Rules, load_rules
from merrflow_openface_au.engines.openface_predictors.descriptor import Describer
from merrflow_openface_au.engines.openface_predictors.face_track import PredictedTrack, Predicting
from merrflow_openface_au.engines.openface_predictors.model_files import fingerprint, read_model_files
from merrflow_openface_au.engines.openface_predictors.predict import Responses
from merrflow_openface_au.engines.openface_predictors.recipe import load_recipe
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import ActionUnitValue
from merrflow_serving.engine import EngineInfo
from merrflow_serving.errors import NotReady

ENTRY = "openface-predictors"  # of weights.yaml
LICENCE = "OpenFace licence: academic, non-commercial"
NOTE = (
    "OpenFace predictors on MediaPipe landmarks, not OpenFace; "
    "presence and intensity come from separate models and may disagree"
)


class PredictorsEngine(MediapipeEngine):
    """Faces and head pose as in the `mediapipe` engine, Action Units by OpenFace's model files. Not thread-safe."""

    def __init__(self, settings: OpenFaceAuSettings, *, decoder_threads: int = 0) -> None:
        super().__init__(settings, decoder_threads=decoder_threads)
        self._folder = (settings.predictors_folder or settings.models_dir / ENTRY).expanduser()
        self._predicting: Predicting | None = None
        self._revision = ""

    def load(self) -> None:
        """Reads the model files, too. Raises `NotReady` with what to do."""
        files = read_model_files(self._folder)
        self._predicting = Predicting(Describer(files, load_recipe()), Responses(files.predictors), files.action_units)
        self._revision = fingerprint(self._folder)
        super().load()

    def info(self) -> EngineInfo:
        """Revision: the model files and MediaPipe's bundle. Prompt version: how faces are found and described."""
        shared = super().info()
        networks = wanted_networks(self._settings)
        try:
            search = load_rules(self._settings.mapping).search
            finding = hashlib.sha256(search.model_dump_json().encode()).hexdigest()[:8]
            found = f"faces={finding} {STAMP} max_faces={self._settings.max_faces}"
            version = f"{load_recipe().stamp} {found} {networks.stamp}"
        except NotReady:  # `load` says why
            version = ""
        files = self._revision or fingerprint(self._folder)
        return replace(
            shared,
            engine="openface_predictors",
            model="openface-predictors",
            revision=f"sha256:{files} {shared.revision}" if files else "",
            dtype="float32",
            prompt_version=version,
            licence=LICENCE,
            note="; ".join((NOTE, *networks.problems)),
        )

    def _new_track(self, models: Models, seed: Detection) -> FaceTrack:
        if self._predicting is None:
            raise NotReady("the engine is not loaded")
        return PredictedTrack(models, seed, self._predicting)

    def _measured(self, rules: Rules) -> tuple[str, ...]:
        return self._predicting.action_units if self._predicting is not None else ()

    def _units(
        self, rules: Rules, track: FaceTrack, indices: FrameNumbers, geometry: Sequence[Mapping[str, float]]
    ) -> list[dict[str, ActionUnitValue]]:
        if not isinstance(track, PredictedTrack):
            raise TypeError("a face of another engine")
        return track.action_units(indices)


class PredictorsPool(MediapipePool):
    """The engine in worker processes, as many as the setting `mediapipe_processes` says."""

    engine = PredictorsEngine

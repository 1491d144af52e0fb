"""The openface-au service: faces, head pose and Action Units in every frame of a video."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from merrflow_openface_au.service import register, warmup_item
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import ActionUnitValue, Box, FaceResult, FrameResult, Pose, Source, VideoResult
from merrflow_serving.service import ServiceSpec

__all__ = [
    "SPEC",
    "ActionUnitValue",
    "Box",
    "FaceResult",
    "FrameResult",
    "OpenFaceAuSettings",
    "Pose",
    "Source",
    "VideoResult",
]

try:
    VERSION = version("merrflow-openface-au")
except PackageNotFoundError:  # run from a checkout that is not installed
    VERSION = "0+unknown"

SPEC = ServiceSpec(
    name="openface-au",
    version=VERSION,
    settings=OpenFaceAuSettings,
    engines={
        "mediapipe": "merrflow_openface_au.engines.mediapipe.pool:MediapipePool",
        "openface_predictors": "merrflow_openface_au.engines.openface_predictors.engine:PredictorsPool",
        "openface": "merrflow_openface_au.engines.openface.engine:OpenFaceEngine",
    },
    register=register,
    warmup=warmup_item,
    results={bytes: VideoResult, Path: VideoResult},
)

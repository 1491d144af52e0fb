"""From OpenFace's CSV to a `VideoResult`."""

from __future__ import annotations

from pathlib import Path

import structlog

from merrflow_openface_au.engines.openface.clip import VideoFacts
from merrflow_openface_au.types import ActionUnitValue, FaceResult, FrameResult, Pose, VideoResult
from merrflow_serving.media.openface_csv import OpenFaceFace, read_faces

log = structlog.get_logger()


def read_result(path: Path, facts: VideoFacts) -> VideoResult:
    """Every decoded frame of the clip; one with `success` 0 has no face. Raises `OpenFaceError`."""
    read = read_faces(path, width=facts.width, height=facts.height, frame_count=len(facts.timestamps))
    for remark in read.told:
        log.warning("openface", told=remark)
    return VideoResult(
        width=facts.width,
        height=facts.height,
        fps=facts.fps,
        action_units=read.units,
        frames=tuple(
            FrameResult(index, timestamp, tuple(_face(face, read.units) for face in faces))
            for index, (timestamp, faces) in enumerate(zip(facts.timestamps, read.frames, strict=True))
        ),
    )


def _face(face: OpenFaceFace, units: tuple[str, ...]) -> FaceResult:
    return FaceResult(
        box=face.box,
        confidence=face.confidence,
        pose=Pose(face.pitch, face.yaw, face.roll),
        action_units={unit: ActionUnitValue(face.intensity.get(unit), unit in face.present) for unit in units},
        mouth_opening=face.mouth_opening,
        second_pass=False,
    )

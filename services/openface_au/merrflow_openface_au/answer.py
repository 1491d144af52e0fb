"""What an engine measured, as the reply: frame by frame, or all frames in arrays for a client that asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from merrflow.openface_au.v1 import openface_au_pb2 as pb
from merrflow_openface_au.types import ActionUnitValue, FaceResult, VideoResult

NOT_MEASURED = ActionUnitValue(None, False)


def to_proto(result: VideoResult, stamp: dict[str, Any], *, packed: bool = False) -> pb.DetectResponse:
    """A `VideoResult` as the reply. `stamp` holds `timing` and `engine`. packed: frames as arrays."""
    return pb.DetectResponse(
        frames=[] if packed else _frames(result),
        packed=_packed(result) if packed else None,
        width=result.width,
        height=result.height,
        fps=result.fps,
        action_units=result.action_units,
        expression_classes=result.expression_classes,
        **stamp,
    )


def _frames(result: VideoResult) -> list[pb.Frame]:
    return [
        pb.Frame(index=frame.index, timestamp_seconds=frame.timestamp, faces=[_face(face) for face in frame.faces])
        for frame in result.frames
    ]


def _face(face: FaceResult) -> pb.Face:
    x, y, width, height = face.box
    return pb.Face(
        box=pb.Box(x=x, y=y, width=width, height=height),
        confidence=face.confidence,
        pose=pb.HeadPose(pitch=face.pose.pitch, yaw=face.pose.yaw, roll=face.pose.roll),
        action_units=[
            pb.ActionUnit(name=name, intensity=unit.intensity, present=unit.present)
            for name, unit in face.action_units.items()
        ],
        mouth_opening=face.mouth_opening,
        second_pass=face.second_pass,
        expression=face.expression,
        embedding=face.embedding,
    )


def _packed(result: VideoResult) -> pb.PackedFrames:
    faces = [face for frame in result.frames for face in frame.faces]
    names = sorted({name for face in faces for name in face.action_units})
    units = [face.action_units.get(name, NOT_MEASURED) for face in faces for name in names]
    classes = result.expression_classes
    return pb.PackedFrames(
        index=[frame.index for frame in result.frames],
        timestamp_seconds=[frame.timestamp for frame in result.frames],
        face_count=[len(frame.faces) for frame in result.frames],
        box=chain.from_iterable(face.box for face in faces),
        confidence=[face.confidence for face in faces],
        pose=chain.from_iterable((face.pose.pitch, face.pose.yaw, face.pose.roll) for face in faces),
        action_units=names,
        intensity=[0.0 if unit.intensity is None else unit.intensity for unit in units],
        unit_flags=bytes((unit.intensity is not None) + 2 * unit.present for unit in units),
        face_flags=bytes(_face_flags(face, classes) for face in faces),
        mouth_opening=[0.0 if face.mouth_opening is None else face.mouth_opening for face in faces],
        expression=chain.from_iterable(face.expression for face in faces if len(face.expression) == len(classes)),
        embedding=[face.embedding for face in faces],
    )


def _face_flags(face: FaceResult, classes: Sequence[str]) -> int:
    return face.second_pass + 2 * (face.mouth_opening is not None) + 4 * (len(face.expression) == len(classes))

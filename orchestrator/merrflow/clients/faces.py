"""Replies of openface-au as the stages know them: frames in arrays, or, of services of merrflow 0.1.0, one by one."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Sequence
from math import isfinite, nan

import numpy as np

from merrflow.core.faces import Face, FaceFrame, FaceFrames, Flags, Floats, Measured, rows_of
from merrflow.core.measurements import ActionUnitSeries
from merrflow.openface_au.v1 import openface_au_pb2 as pb
from merrflow_serving.errors import EngineFault

# Decimals that are kept.
_PIXELS, _DEGREES, _CONFIDENCE, _INTENSITY, _SHARE, _MOUTH, _SECONDS = 1, 1, 3, 3, 4, 4, 4
_MEASURED, _PRESENT = 1, 2  # PackedFrames.unit_flags
_SECOND_PASS, _MOUTH_MEASURED, _JUDGED = 1, 2, 4  # PackedFrames.face_flags


def series_from(reply: pb.DetectResponse) -> ActionUnitSeries:
    """The Action Units of a reply. Raises `EngineFault` if its arrays do not belong together."""
    classes = tuple(reply.expression_classes)
    return ActionUnitSeries(
        width=reply.width,
        height=reply.height,
        fps=reply.fps,
        measurable=tuple(reply.action_units),
        frames=_unpacked(reply.packed, classes) if reply.HasField("packed") else _one_by_one(reply.frames, classes),
    )


def _unpacked(packed: pb.PackedFrames, classes: Sequence[str]) -> FaceFrames:
    _check(packed, len(classes))
    units, faces = tuple(packed.action_units), len(packed.confidence)
    of_units = np.frombuffer(packed.unit_flags, np.uint8).reshape(faces, len(units))
    of_faces = np.frombuffer(packed.face_flags, np.uint8)
    opening = _rounded(packed.mouth_opening, _MOUTH)
    return FaceFrames(
        indices=np.fromiter(packed.index, np.int64, len(packed.index)),
        timestamps=np.array([round(seconds, _SECONDS) for seconds in packed.timestamp_seconds], np.float64),
        first=rows_of(packed.face_count),
        box=_rounded(packed.box, _PIXELS).reshape(-1, 4),
        confidence=_rounded(packed.confidence, _CONFIDENCE),
        pose=_rounded(packed.pose, _DEGREES).reshape(-1, 3),
        intensity=_measured(units, _rounded(packed.intensity, _INTENSITY), (of_units & _MEASURED) != 0),
        present=(of_units & _PRESENT) != 0,
        mouth_opening=np.where((of_faces & _MOUTH_MEASURED != 0) & np.isfinite(opening), opening, np.nan),
        second_pass=(of_faces & _SECOND_PASS) != 0,
        expression=_shares(classes, _rounded(packed.expression, _SHARE), (of_faces & _JUDGED) != 0),
        embedding=tuple(map(_embedding, packed.embedding)),
    )


def _check(packed: pb.PackedFrames, classes: int) -> None:
    frames, faces, units = len(packed.index), sum(packed.face_count), len(packed.action_units)
    judged = sum(bool(flags & _JUDGED) for flags in packed.face_flags)
    lengths = dict.fromkeys(("timestamp_seconds", "face_count"), frames)
    lengths |= dict.fromkeys(("confidence", "face_flags", "mouth_opening", "embedding"), faces)
    lengths |= {"box": 4 * faces, "pose": 3 * faces, "intensity": units * faces, "unit_flags": units * faces}
    lengths["expression"] = classes * judged
    for name, length in lengths.items():
        if (found := len(getattr(packed, name))) != length:
            raise EngineFault(f"the service's answer cannot be used: packed.{name} has {found} entries, not {length}")


def _measured(names: tuple[str, ...], values: Floats, there: Flags) -> Measured:
    """values: those of `there` or, of each face and name, one."""
    columns = np.full(there.shape, np.nan)
    columns[there] = values if values.size != there.size else values.reshape(there.shape)[there]
    return Measured(names, columns, there)


def _shares(classes: Sequence[str], values: Floats, judged: Flags) -> Measured:
    there = np.repeat(judged[:, None], len(classes), axis=1)
    return _measured(tuple(classes), values, there)


def _rounded(values: Collection[float], decimals: int) -> Floats:
    """The same as `round` of each: numbers of 32 bits lose nothing when they are multiplied by a power of ten."""
    return np.fromiter(values, np.float64, len(values)).round(decimals)


def _one_by_one(frames: Iterable[pb.Frame], classes: Sequence[str]) -> FaceFrames:
    return FaceFrames.of(
        FaceFrame(
            frame.index, round(frame.timestamp_seconds, _SECONDS), tuple(_face(face, classes) for face in frame.faces)
        )
        for frame in frames
    )


def _face(face: pb.Face, classes: Sequence[str]) -> Face:
    box, pose = face.box, face.pose
    judged = len(face.expression) == len(classes)
    mouth = face.mouth_opening if face.HasField("mouth_opening") else nan
    look = _embedding(face.embedding)
    return Face(
        box=(
            round(box.x, _PIXELS),
            round(box.y, _PIXELS),
            round(box.width, _PIXELS),
            round(box.height, _PIXELS),
        ),
        confidence=round(face.confidence, _CONFIDENCE),
        pitch=round(pose.pitch, _DEGREES),
        yaw=round(pose.yaw, _DEGREES),
        roll=round(pose.roll, _DEGREES),
        intensity={
            unit.name: round(unit.intensity, _INTENSITY) for unit in face.action_units if unit.HasField("intensity")
        },
        present=frozenset(unit.name for unit in face.action_units if unit.present),
        mouth_opening=round(face.mouth_opening, _MOUTH) if isfinite(mouth) else None,
        second_pass=face.second_pass,
        expression={name: round(share, _SHARE) for name, share in zip(classes, face.expression, strict=True)}
        if judged
        else {},
        embedding=struct.unpack(f"<{len(look) // 2}e", look),
    )


def _embedding(packed: bytes) -> bytes:
    """The same; empty if it is not a whole number of float16."""
    return packed if len(packed) % 2 == 0 else b""

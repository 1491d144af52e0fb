"""Replies of openface-au as the stages know them: frames in arrays, or, of services of merrflow 0.1.0, one by one."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice, repeat
from math import isfinite, nan

import numpy as np
from numpy.typing import NDArray

from merrflow.core.measurements import ActionUnitSeries, Face, FaceFrame
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


def _unpacked(packed: pb.PackedFrames, classes: Sequence[str]) -> tuple[FaceFrame, ...]:
    _check(packed, len(classes))
    faces = _faces(packed, classes)
    return tuple(
        FaceFrame(index, round(seconds, _SECONDS), tuple(islice(faces, count)))
        for index, seconds, count in zip(packed.index, packed.timestamp_seconds, packed.face_count, strict=True)
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


def _faces(packed: pb.PackedFrames, classes: Sequence[str]) -> Iterator[Face]:
    """All faces, in order."""
    units = tuple(packed.action_units)
    shares = iter(_rows(packed.expression, len(classes), _SHARE))
    rows = zip(
        _rows(packed.box, 4, _PIXELS),
        _rounded(packed.confidence, _CONFIDENCE).tolist(),
        _rows(packed.pose, 3, _DEGREES),
        _rows(packed.intensity, len(units), _INTENSITY) if units else repeat([]),
        packed.face_flags,
        _rounded(packed.mouth_opening, _MOUTH).tolist(),
        packed.embedding,
        strict=False,  # repeat has no end; the others are checked
    )
    for place, ((x, y, width, height), confidence, (pitch, yaw, roll), measured, flags, mouth, look) in enumerate(rows):
        of_units = packed.unit_flags[len(units) * place : len(units) * (place + 1)]
        yield Face(
            box=(x, y, width, height),
            confidence=confidence,
            pitch=pitch,
            yaw=yaw,
            roll=roll,
            intensity={
                name: value for name, value, flag in zip(units, measured, of_units, strict=True) if flag & _MEASURED
            },
            present=frozenset([name for name, flag in zip(units, of_units, strict=True) if flag & _PRESENT]),
            mouth_opening=mouth if flags & _MOUTH_MEASURED and isfinite(mouth) else None,
            second_pass=bool(flags & _SECOND_PASS),
            expression=dict(zip(classes, next(shares), strict=True)) if classes and flags & _JUDGED else {},
            embedding=_embedding(look),
        )


def _rounded(values: Collection[float], decimals: int) -> NDArray[np.float64]:
    """The same as `round` of each: numbers of 32 bits lose nothing when they are multiplied by a power of ten."""
    exact: NDArray[np.float64] = np.fromiter(values, np.float64, len(values))
    return exact.round(decimals)


def _rows(values: Collection[float], width: int, decimals: int) -> list[list[float]]:
    rows: list[list[float]] = _rounded(values, decimals).reshape(-1, width).tolist() if width else []
    return rows


def _one_by_one(frames: Iterable[pb.Frame], classes: Sequence[str]) -> tuple[FaceFrame, ...]:
    return tuple(
        FaceFrame(
            frame.index, round(frame.timestamp_seconds, _SECONDS), tuple(_face(face, classes) for face in frame.faces)
        )
        for frame in frames
    )


def _face(face: pb.Face, classes: Sequence[str]) -> Face:
    box, pose = face.box, face.pose
    judged = len(face.expression) == len(classes)
    mouth = face.mouth_opening if face.HasField("mouth_opening") else nan
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
        embedding=_embedding(face.embedding),
    )


def _embedding(packed: bytes) -> tuple[float, ...]:
    """The numbers of `Face.embedding`; empty if it is not a whole number of float16."""
    return struct.unpack(f"<{len(packed) // 2}e", packed) if len(packed) % 2 == 0 else ()

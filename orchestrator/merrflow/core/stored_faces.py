"""How the ledger keeps the faces of a clip: a list for each number that a face has. Ledgers of merrflow 0.1.0 have an
object for each face."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeAlias

import numpy as np
from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from merrflow.core.faces import FaceFrame, FaceFrames, Flags, Floats, Measured, rows_of


@dataclass(frozen=True)
class _Stored:
    """As JSON. Flags are text of 0 and 1, a number that was not measured is null."""

    index: list[int]
    timestamp: list[float]
    faces: list[int]  # of each frame
    box: list[float]  # four of each face
    confidence: list[float]
    pose: list[float]  # three of each face
    intensity: dict[str, list[float | None]]
    present: dict[str, str]
    mouth_opening: list[float | None]
    second_pass: str
    expression: dict[str, list[float | None]]
    embedding: list[str]  # base64 of float16, little-endian


@cache
def _adapters() -> tuple[TypeAdapter[_Stored], TypeAdapter[tuple[FaceFrame, ...]]]:
    return TypeAdapter(_Stored), TypeAdapter(tuple[FaceFrame, ...])


def stored(frames: FaceFrames) -> dict[str, Any]:
    """Plain values, for JSON."""
    return {
        "index": frames.indices.tolist(),
        "timestamp": frames.timestamps.tolist(),
        "faces": np.diff(frames.first).tolist(),
        "box": frames.box.ravel().tolist(),
        "confidence": frames.confidence.tolist(),
        "pose": frames.pose.ravel().tolist(),
        "intensity": _columns(frames.intensity),
        "present": {name: _text(flags) for name, flags in zip(frames.intensity.names, frames.present.T, strict=True)},
        "mouth_opening": _nullable(frames.mouth_opening, ~np.isnan(frames.mouth_opening)),
        "second_pass": _text(frames.second_pass),
        "expression": _columns(frames.expression),
        "embedding": [b64encode(look).decode() if look else "" for look in frames.embedding],
    }


def read(value: Any) -> FaceFrames:
    """What `stored` or merrflow 0.1.0 made of frames. Raises `ValueError` for anything else."""
    if isinstance(value, FaceFrames):
        return value
    columns, one_by_one = _adapters()
    if not isinstance(value, Mapping):
        return FaceFrames.of(one_by_one.validate_python(value))
    found = columns.validate_python(value)
    faces = sum(found.faces)
    if found.intensity.keys() != found.present.keys():
        raise ValueError("other Action Units have an intensity than a presence")
    return FaceFrames(
        indices=np.array(found.index, np.int64),
        timestamps=_array(found.timestamp, len(found.index)),
        first=_first(found.faces, len(found.index)),
        box=_array(found.box, 4 * faces).reshape(-1, 4),
        confidence=_array(found.confidence, faces),
        pose=_array(found.pose, 3 * faces).reshape(-1, 3),
        intensity=_measured(found.intensity, faces),
        present=_side_by_side([_flags(found.present[name], faces) for name in found.intensity], faces).astype(bool),
        mouth_opening=_array(found.mouth_opening, faces),
        second_pass=_flags(found.second_pass, faces),
        expression=_measured(found.expression, faces),
        embedding=tuple(map(_embedding, _of_length(found.embedding, faces))),
    )


StoredFrames: TypeAlias = Annotated[FaceFrames, PlainValidator(read), PlainSerializer(stored)]


def _columns(measured: Measured) -> dict[str, list[float | None]]:
    columns = zip(measured.names, measured.values.T, measured.there.T, strict=True)
    return {name: _nullable(values, there) for name, values, there in columns}


def _nullable(values: Floats, there: Flags) -> list[float | None]:
    numbers: list[float | None] = values.tolist()
    if not there.all():
        numbers = [value if has else None for value, has in zip(numbers, there.tolist(), strict=True)]
    return numbers


def _measured(columns: Mapping[str, Sequence[float | None]], faces: int) -> Measured:
    values = _side_by_side([_array(column, faces) for column in columns.values()], faces)
    return Measured(tuple(columns), values, ~np.isnan(values))


def _side_by_side(columns: Sequence[Any], faces: int) -> Floats:
    return np.array(columns, np.float64).reshape(len(columns), faces).T.copy()


def _first(counts: Sequence[int], frames: int) -> Any:
    if min(counts, default=0) < 0:
        raise ValueError("a frame has fewer than no faces")
    return rows_of(_of_length(counts, frames))


def _array(values: Sequence[float | None], length: int) -> Floats:
    return np.array(_of_length(values, length), np.float64)  # None becomes NaN


def _of_length(values: Any, length: int) -> Any:
    if len(values) != length:
        raise ValueError(f"{len(values)} entries where {length} belong")
    return values


def _text(flags: Flags) -> str:
    return (flags.astype(np.uint8) + ord("0")).tobytes().decode()


def _flags(text: str, length: int) -> Flags:
    flags: Flags = np.frombuffer(_of_length(text.encode("ascii"), length), np.uint8) == ord("1")
    return flags


def _embedding(text: str) -> bytes:
    look = b64decode(text, validate=True)
    if len(look) % 2:
        raise ValueError("an embedding is not of float16")
    return look

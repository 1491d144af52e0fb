"""The faces of a clip's frames, in arrays: as objects, hundreds of them with dicts of their own, they took most of the
time that a clip took beside reading it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Whole: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Face:
    """One face in one frame, as the Action Unit service measured it."""

    box: tuple[float, float, float, float]  # x, y, width, height in pixels
    confidence: float  # 0 to 1
    pitch: float  # degrees, positive: chin up
    yaw: float  # degrees, positive: to the right side of the picture
    roll: float  # degrees, positive: clockwise for the viewer
    intensity: Mapping[str, float]  # "AU06" -> 0 to 5; AUs without an intensity are not in it
    present: frozenset[str]  # AUs that are present
    mouth_opening: float | None = None  # gap between the inner lips over the mouth's width
    second_pass: bool = False
    expression: Mapping[str, float] = field(default_factory=dict)  # an expression network's shares by class; or none
    embedding: tuple[float, ...] = ()  # 128 float16 that tell persons apart within a clip; empty if not computed


@dataclass(frozen=True)
class FaceFrame:
    """The faces of one frame, largest first."""

    index: int  # from 0, in order of display
    timestamp: float  # seconds from the first frame
    faces: tuple[Face, ...]


@dataclass(frozen=True)
class Measured:
    """Numbers that not every face has, by name: a column for each name, a row for each face."""

    names: tuple[str, ...]
    values: Floats  # (faces, names); NaN where there is none
    there: Flags  # (faces, names); a NaN that is there is an engine's fault

    def of(self, row: int) -> dict[str, float]:
        """What one face has."""
        values, there = self.values[row].tolist(), self.there[row].tolist()
        return {name: value for name, value, has in zip(self.names, values, there, strict=True) if has}

    def column(self, name: str) -> Floats:
        """(faces,) 0 where there is none."""
        if name not in self.names:
            return np.zeros(len(self.values))
        place = self.names.index(name)
        return np.where(self.there[:, place], self.values[:, place], 0.0)

    @classmethod
    def gathered(cls, faces: Sequence[Mapping[str, float]], names: tuple[str, ...]) -> Measured:
        """names: all that any face has."""
        shape = len(faces), len(names)
        values = np.array([[face.get(name, np.nan) for name in names] for face in faces], np.float64).reshape(shape)
        return cls(names, values, np.array([[name in face for name in names] for face in faces], bool).reshape(shape))


@dataclass(frozen=True, eq=False, repr=False)
class FaceFrames(Sequence[FaceFrame]):
    """All frames of a clip. As a sequence it makes a `FaceFrame` of each that is asked for; what looks at every frame
    of every clip takes the arrays, in which faces follow each other, frame after frame. Nothing is written to them."""

    indices: Whole  # (frames,) `FaceFrame.index`
    timestamps: Floats  # (frames,) seconds
    first: Whole  # (frames + 1,) the row of each frame's first face; the last is the number of faces
    box: Floats  # (faces, 4)
    confidence: Floats  # (faces,)
    pose: Floats  # (faces, 3) pitch, yaw, roll
    intensity: Measured  # a column for each Action Unit, also of those without an intensity
    present: Flags  # (faces, units) by the columns of `intensity`
    mouth_opening: Floats  # (faces,) NaN if not measured
    second_pass: Flags  # (faces,)
    expression: Measured
    embedding: tuple[bytes, ...]  # of each face: float16, little-endian

    @classmethod
    def of(cls, frames: Iterable[FaceFrame]) -> FaceFrames:
        """These frames, whose embeddings must be numbers of 16 bits."""
        frames = list(frames)
        faces = [face for frame in frames for face in frame.faces]
        units = tuple(sorted({code for face in faces for code in (*face.intensity, *face.present)}))
        classes = tuple(dict.fromkeys(name for face in faces for name in face.expression))
        present = [[code in face.present for code in units] for face in faces]
        opening = [np.nan if face.mouth_opening is None else face.mouth_opening for face in faces]
        return cls(
            indices=np.array([frame.index for frame in frames], np.int64),
            timestamps=np.array([frame.timestamp for frame in frames], np.float64),
            first=rows_of([len(frame.faces) for frame in frames]),
            box=np.array([face.box for face in faces], np.float64).reshape(-1, 4),
            confidence=np.array([face.confidence for face in faces], np.float64),
            pose=np.array([(face.pitch, face.yaw, face.roll) for face in faces], np.float64).reshape(-1, 3),
            intensity=Measured.gathered([face.intensity for face in faces], units),
            present=np.array(present, bool).reshape(len(faces), len(units)),
            mouth_opening=np.array(opening, np.float64),
            second_pass=np.array([face.second_pass for face in faces], bool),
            expression=Measured.gathered([face.expression for face in faces], classes),
            embedding=tuple(np.array(face.embedding, "<f2").tobytes() for face in faces),
        )

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, place: int) -> FaceFrame: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[FaceFrame, ...]: ...
    def __getitem__(self, place: int | slice) -> FaceFrame | tuple[FaceFrame, ...]:
        if isinstance(place, slice):
            return tuple(self[one] for one in range(*place.indices(len(self))))
        place = range(len(self))[place]
        faces = tuple(map(self.face, range(self.first[place], self.first[place + 1])))
        return FaceFrame(int(self.indices[place]), float(self.timestamps[place]), faces)

    def __iter__(self) -> Iterator[FaceFrame]:
        return (self[place] for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, FaceFrames | tuple) else NotImplemented

    def __repr__(self) -> str:
        return f"<{len(self)} frames with {len(self.confidence)} faces>"

    def face(self, row: int) -> Face:
        """One face."""
        x, y, width, height = self.box[row].tolist()
        pitch, yaw, roll = self.pose[row].tolist()
        opening = float(self.mouth_opening[row])
        codes = zip(self.intensity.names, self.present[row].tolist(), strict=True)
        return Face(
            box=(x, y, width, height),
            confidence=float(self.confidence[row]),
            pitch=pitch,
            yaw=yaw,
            roll=roll,
            intensity=self.intensity.of(row),
            present=frozenset(code for code, there in codes if there),
            mouth_opening=None if np.isnan(opening) else opening,
            second_pass=bool(self.second_pass[row]),
            expression=self.expression.of(row),
            embedding=tuple(np.frombuffer(self.embedding[row], "<f2").tolist()),
        )

    def rows(self, faces: Sequence[tuple[int, int]]) -> Whole:
        """(faces,) the rows of faces that are given by their frame's index and their place in it. Raises `LookupError`
        for one that is not there."""
        if not faces:
            return np.zeros(0, np.int64)
        frames, places = np.array(faces, np.int64).T
        first, end = (self.first[self.places(frames) + step] for step in (0, 1))
        if (places < 0).any() or (first + places >= end).any():
            raise IndexError("a frame has fewer faces")
        rows: Whole = first + places
        return rows

    def places(self, frames: Whole) -> Whole:
        """(n,) where in this sequence frames with these indices are. Raises `LookupError` for one that is not there."""
        if self._is_counted and not (frames.size and (frames.min() < 0 or frames.max() >= len(self))):
            return frames
        where = {index: place for place, index in enumerate(self.indices.tolist())}
        return np.array([where[index] for index in frames.tolist()], np.int64)

    def frame_of(self, rows: Whole) -> Whole:
        """(n,) where in this sequence the frames of faces in these rows are."""
        places: Whole = np.searchsorted(self.first, rows, "right") - 1
        return places

    @cached_property
    def _is_counted(self) -> bool:
        return bool(np.array_equal(self.indices, np.arange(len(self))))


def rows_of(counts: Sequence[int]) -> Whole:
    """(frames + 1,) `FaceFrames.first`, of frames with so many faces."""
    first = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=first[1:])
    return first

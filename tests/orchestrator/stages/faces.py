"""Builds small ActionUnitSeries for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from merrflow.core.records import ActionUnitSeries, Face, FaceFrame

ALL = tuple(f"AU{n:02}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45))


def face(
    x: float = 100,
    y: float = 100,
    size: float = 100,
    intensity: Mapping[str, float] | None = None,
    present: Sequence[str] | None = None,
    confidence: float = 0.95,
    yaw: float = 0.0,
    mouth: float | None = None,
) -> Face:
    """A square face; by default all units with an intensity above 0 are present."""
    intensity = dict(intensity or {})
    shown = [code for code, value in intensity.items() if value > 0] if present is None else present
    return Face((x, y, size, size), confidence, 0.0, yaw, 0.0, intensity, frozenset(shown), mouth)


def series(frames: Sequence[Sequence[Face]], fps: float = 25.0) -> ActionUnitSeries:
    """640 x 360 pixels; the faces of each frame."""
    made = tuple(FaceFrame(index, index / fps, tuple(faces)) for index, faces in enumerate(frames))
    return ActionUnitSeries(640, 360, fps, ALL, made)

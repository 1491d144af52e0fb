"""Builds small ActionUnitSeries and voices for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from merrflow.core.faces import Face, FaceFrame
from merrflow.core.measurements import ActionUnitSeries, Subject

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


def frames_of(chosen: Subject) -> list[int]:
    return [frame for frame, _ in chosen.faces]


def talk(seed: int, frames: int = 100) -> np.ndarray:
    """How strongly somebody talks, 0 to 1 by frame: phrases of syllables at about 4 a second, and pauses."""
    random = np.random.default_rng(seed)
    level = np.zeros(frames)
    at = random.integers(0, 8)
    while at < frames:
        length = int(random.integers(12, 30))
        beat = np.abs(np.sin(np.arange(length) * np.pi * random.uniform(3.5, 5) / 25 + random.uniform(0, 3)))
        level[at : at + length] = (beat * random.uniform(0.6, 1))[: frames - at]
        at += length + int(random.integers(8, 20))
    return level


def sound_of(level: np.ndarray) -> tuple[float, ...]:
    """dBFS for each 40 ms, from a floor of -60."""
    return tuple(float(value) for value in -60 + 35 * level)

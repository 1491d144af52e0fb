"""Writes OpenFace CSVs as its versions do, and reads the shared ones, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from merrflow.core.measurements import ActionUnitSeries, Probe, Shot
from merrflow.formats.openface_csv import read_openface
from tests.paths import SHARED

UNITS = ("AU01", "AU05", "AU06", "AU12", "AU25", "AU26", "AU45")
# An outline to draw faces with: jaw, brows, nose, eyes and lips are not told apart but for the points that are read.
_OUTLINE = [(-0.5 + (i % 17) / 16, -0.4 + (i // 17) * 0.25) for i in range(68)]


def probe_of(frames: int, width: int = 640, height: int = 360, fps: float = 25.0) -> Probe:
    """The facts of a clip in one shot."""
    return Probe(width, height, fps, frames, frames / fps, (Shot(0, frames),), None)


def shared_series(name: str, width: int, height: int, fps: float = 25.0) -> ActionUnitSeries:
    """One of the shared OpenFace outputs, for a clip with as many frames as it has rows."""
    path = SHARED / "openface" / f"{name}.csv"
    with path.open() as file:
        rows = sum(1 for line in file if line.strip()) - 1
    return read_openface(path, probe=probe_of(rows, width, height, fps)).series


def landmarks(x: float = 320, y: float = 180, size: float = 100, gap: float = 10) -> dict[str, str]:
    """x_0 ... y_67 of a face around a middle; `gap` pixels between the inner lips, a mouth of 40."""
    points = [(x + size * dx, y + size * dy) for dx, dy in _OUTLINE]
    points[62], points[66] = (x, y + 20), (x, y + 20 + gap)
    points[48], points[54] = (x - 20, y + 25), (x + 20, y + 25)
    xs = {f"x_{i}": f"{point[0]:.3f}" for i, point in enumerate(points)}
    return xs | {f"y_{i}": f"{point[1]:.3f}" for i, point in enumerate(points)}


def row(number: int, *, success: int = 1, confidence: float = 0.95, **values: object) -> dict[str, str]:
    """One row of OpenFace 1 with all that is read; `values` replace or add columns."""
    made = {
        "frame": str(number),
        "timestamp": f"{(number - 1) / 25:.4g}",
        "confidence": str(confidence),
        "success": str(success),
        "gaze_0_x": "0.1",
        **{f"pose_{name}": value for name, value in zip(("Tx", "Ty", "Tz"), ("10", "-5", "600"), strict=True)},
        **{f"pose_{name}": value for name, value in zip(("Rx", "Ry", "Rz"), ("0.1", "-0.2", "0.05"), strict=True)},
        **landmarks(),
        **{f"{unit}_r": "0.50" for unit in UNITS},
        **{f"{unit}_c": "1.00" for unit in (*UNITS, "AU28")},
    }
    return made | {name: str(value) for name, value in values.items()}


def table(rows: Sequence[Mapping[str, str]], blank: str = " ", columns: Sequence[str] | None = None) -> str:
    """The rows as text, with `blank` after each comma."""
    columns = list(rows[0]) if columns is None else columns
    lines = [columns, *([row[name] for name in columns] for row in rows)]
    return "".join(f",{blank}".join(line) + "\n" for line in lines)

"""OpenFace's output for a face that smiles: for clips of which no real one is at hand."""

from __future__ import annotations

import csv
from pathlib import Path

UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
SMILE = (6, 12)
POINTS = 68


def write_smile(path: Path, frames: int, *, width: int, height: int, fps: float) -> None:
    """A CSV of OpenFace 2 with one row per frame: a smile that grows to the middle of the clip."""
    middle = max(1, frames // 2)
    rows = [_row(index, 3.0 - 2.0 * abs(index - middle) / middle, width, height, fps) for index in range(frames)]
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def _row(index: int, strength: float, width: int, height: int, fps: float) -> dict[str, float]:
    size = 0.4 * min(width, height)
    row = {"frame": index + 1, "face_id": 0, "timestamp": round(index / fps, 3), "confidence": 0.95, "success": 1}
    row |= {"pose_Tx": 0.0, "pose_Ty": 0.0, "pose_Tz": 600.0, "pose_Rx": 0.0, "pose_Ry": 0.1, "pose_Rz": 0.0}
    row |= {f"x_{i}": round(width / 2 + size * (i % 17 - 8) / 16, 1) for i in range(POINTS)}
    row |= {f"y_{i}": round(height / 2 + size * (i // 17 - 1.5) / 3, 1) for i in range(POINTS)}
    row |= {f"AU{unit:02}_r": round(strength, 2) if unit in SMILE else 0.1 for unit in UNITS}
    return row | {f"AU{unit:02}_c": float(unit in SMILE) for unit in UNITS}

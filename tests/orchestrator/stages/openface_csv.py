"""Reads an OpenFace 2 FeatureExtraction CSV as an ActionUnitSeries. For tests only."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from merrflow.types import ActionUnitSeries, Face, FaceFrame

SHARED = Path(__file__).resolve().parents[4] / "shared"


def read(path: Path, width: int, height: int) -> ActionUnitSeries:
    """Frames are numbered from 1 there and from 0 here; a failed frame has no face."""
    with path.open(newline="") as file:
        rows = [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(file)]
    codes = sorted({key[:4] for key in rows[0] if key.startswith("AU")})
    frames = []
    for row in rows:
        faces = (_face(row, codes),) if int(row["success"]) == 1 else ()
        frames.append(FaceFrame(int(row["frame"]) - 1, float(row["timestamp"]), faces))
    fps = 1 / (frames[1].timestamp - frames[0].timestamp)
    return ActionUnitSeries(width, height, fps, tuple(codes), tuple(frames))


def _face(row: dict[str, str], codes: list[str]) -> Face:
    xs = [float(row[f"x_{i}"]) for i in range(68)]
    ys = [float(row[f"y_{i}"]) for i in range(68)]
    lips = math.dist((xs[62], ys[62]), (xs[66], ys[66])) / math.dist((xs[48], ys[48]), (xs[54], ys[54]))
    return Face(
        box=(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)),
        confidence=float(row["confidence"]),
        pitch=-math.degrees(float(row["pose_Rx"])),
        yaw=-math.degrees(float(row["pose_Ry"])),
        roll=math.degrees(float(row["pose_Rz"])),
        intensity={code: float(row[f"{code}_r"]) for code in codes if f"{code}_r" in row},
        present=frozenset(code for code in codes if float(row[f"{code}_c"]) > 0),
        mouth_opening=lips,
    )

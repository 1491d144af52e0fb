"""A folder as OpenFace's, with numbers of our own: same format, same sizes, no model."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

MODES = 34
VALUES = 12 * 12 * 31 + 204 + MODES


def face() -> np.ndarray:
    """(68, 3) millimetres: about where a face's points are."""
    turn = np.linspace(0, np.pi, 17)
    jaw = np.column_stack([-72 * np.cos(turn), 75 * np.sin(turn) - 10])
    arch = np.column_stack([np.linspace(0, 40, 5), -6 * np.sin(np.linspace(0, np.pi, 5))])
    brows = np.vstack([arch + np.array([left, -42]) for left in (-56, 16)])
    nose = np.vstack([[(0, y) for y in (-25, -12, 0, 12)], [(x, 20) for x in (-14, -7, 0, 7, 14)]])
    ring = np.array([(-14, 0), (-5, -5), (5, -5), (14, 0), (5, 5), (-5, 5)], float)
    eyes = np.vstack([ring + np.array([middle, -25]) for middle in (-33, 33)])
    around = np.linspace(np.pi, 3 * np.pi, 13)[:-1]
    outer = np.column_stack([25 * np.cos(around), 9 * np.sin(around) + 42])
    inner = np.column_stack([17 * np.cos(around[::3]), 2 * np.sin(around[::3]) + 42])
    inner = np.repeat(inner, 2, axis=0)
    flat = np.vstack([jaw, brows, nose, eyes, outer, inner])
    depth = 0.004 * (flat[:, 0] ** 2) - 5
    depth[27:36] -= 20
    return np.column_stack([flat, depth])


def matrix(values: np.ndarray) -> str:
    rows = "\n".join(" ".join(f"{value:.9g}" for value in row) for row in values)
    return f"{values.shape[0]}\n{values.shape[1]}\n6\n{rows}\n"


def shape_text(seed: int = 1) -> str:
    modes = np.linalg.qr(np.random.default_rng(seed).normal(size=(204, MODES)))[0]
    variances = np.geomspace(400, 4, MODES)[None]
    mean = face().T.reshape(-1, 1)
    return f"# mean\n{matrix(mean)}\n# modes\n{matrix(modes)}\n# variances\n{matrix(variances)}"


def triangles_text() -> str:
    fan = [(30, i, i + 1) for i in range(26)] + [(30, 0, 17)]
    return "27\n3\n4\n" + "\n".join(" ".join(map(str, row)) for row in fan)


def predictor_bytes(kind: int, weights: np.ndarray, *, bias: float = 0.1, cutoff: float = 0.5) -> bytes:
    head = struct.pack("<i", kind) + (struct.pack("<d", cutoff) if kind == 1 else b"")
    mean = np.full(len(weights), 0.1)
    columns = (
        struct.pack("<3i", *size, 6) + column.astype("<f8").tobytes()
        for size, column in (((1, len(mean)), mean), ((len(weights), 1), weights))
    )
    classes = struct.pack("<2d", 0, 1) if kind in (4, 5) else b""
    return head + b"".join(columns) + struct.pack("<d", bias) + classes


def write(folder: Path) -> Path:
    """Two Action Units with intensity and presence, and AU28 with presence alone."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "In-the-wild_aligned_PDM_68.txt").write_text(shape_text())
    (folder / "tris_68_full.txt").write_text(triangles_text())
    random = np.random.default_rng(2)
    listed = []
    for name, kind in (("6", 0), ("6", 4), ("12", 1), ("12", 5), ("28", 4)):
        file = f"{'svm' if kind > 3 else 'svr'}_combined/AU_{name}_{kind}.dat"
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(predictor_bytes(kind, random.normal(size=VALUES) / 100))
        listed.append(f"{file} AU{int(name):02d}")
    (folder / "AU_all_best.txt").write_text("\n".join(listed))
    return folder

"""How far Action Units agree with OpenFace's: `python -m benchmarks.action_unit_agreement --clips A --openface B`.

Of each engine of openface-au, against OpenFace's CSV files of the same clips (frames with success and a confidence of
at least 0.7): r of the intensities within a clip, mean weighted by frames; AUC of the intensity for OpenFace's presence
and F1 of the presence, over all frames. Nothing is fitted here. `--models`: a folder with OpenFace's model files, for
the engine openface_predictors, whose own milliseconds a face and frame, beside finding the face, are measured too.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.mediapipe.engine import MediapipeEngine
from merrflow_openface_au.engines.openface_predictors import face_track
from merrflow_openface_au.engines.openface_predictors.descriptor import Described, Describer
from merrflow_openface_au.engines.openface_predictors.engine import PredictorsEngine
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import FaceResult, VideoResult

MOVES = 0.05  # standard deviation of an intensity that correlation is computed for
LEAST_FRAMES = 8

Floats = npt.NDArray[np.float64]
Table = Mapping[str, Floats]


@dataclass(frozen=True)
class Agreement:
    """Of one Action Unit; None: the clips, or the engine, hold nothing to tell it by."""

    r: float | None
    auc: float | None
    f1: float | None
    share: float  # of frames that OpenFace finds it in


def read_openface(path: Path) -> Table:
    """Columns of a CSV file."""
    with path.open(newline="") as file:
        rows = [{key.strip(): float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def same_face(faces: tuple[FaceResult, ...], reference: Table, index: int) -> FaceResult | None:
    """The face whose box holds the tip of OpenFace's nose."""
    nose = reference["x_30"][index], reference["y_30"][index]
    for face in faces:
        x, y, width, height = face.box
        if x < nose[0] < x + width and y < nose[1] < y + height:
            return face
    return None


def area_under_curve(values: Floats, present: npt.NDArray[np.bool_]) -> float | None:
    """That a present one is above an absent one; equal ones count half. None if all are of one kind."""
    if present.all() or not present.any():
        return None
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    ours = int(present.sum())
    return float((ranks[present].sum() - ours * (ours + 1) / 2) / (ours * (len(present) - ours)))


def agreement(unit: str, clips: list[tuple[VideoResult, Table]]) -> Agreement:
    """Over all clips."""
    correlations, weights = [], []
    values: list[float] = []
    ours: list[bool] = []
    theirs: list[bool] = []
    for result, reference in clips:
        usable = (reference["success"] == 1) & (reference["confidence"] >= 0.7)
        pairs = []
        for frame in result.frames[: len(usable)]:
            face = same_face(frame.faces, reference, frame.index) if usable[frame.index] else None
            if face is not None and unit in face.action_units:
                found = face.action_units[unit]
                ours.append(found.present)
                theirs.append(bool(reference[f"{unit}_c"][frame.index]))
                values.append(found.present if found.intensity is None else found.intensity)
                if found.intensity is not None and f"{unit}_r" in reference:
                    pairs.append((found.intensity, reference[f"{unit}_r"][frame.index]))
        if len(pairs) > LEAST_FRAMES and np.std([one[1] for one in pairs]) > MOVES:
            is_still = np.std([one[0] for one in pairs]) < 1e-9
            correlations.append(0.0 if is_still else float(np.corrcoef(np.array(pairs).T)[0, 1]))
            weights.append(len(pairs))
    present, truth = np.array(ours, bool), np.array(theirs, bool)
    both = int((present & truth).sum())
    return Agreement(
        float(np.average(correlations, weights=weights)) if weights else None,
        area_under_curve(np.array(values), truth) if len(truth) else None,
        2 * both / (int(present.sum()) + int(truth.sum())) if truth.any() else None,
        float(truth.mean()) if len(truth) else 0.0,
    )


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Seconds that descriptors and predictors take, and how many faces there were."""
    spent = {"seconds": 0.0, "faces": 0.0}
    describe, units_of = Describer.describe, face_track.PredictedTrack.action_units

    def timed_describe(*arguments: Any) -> Described:
        began = time.process_time()
        found = describe(*arguments)
        spent["seconds"] += time.process_time() - began
        spent["faces"] += 1
        return found

    def timed_units(*arguments: Any) -> Any:
        began = time.process_time()
        found = units_of(*arguments)
        spent["seconds"] += time.process_time() - began
        return found

    with (
        patch.object(Describer, "describe", timed_describe),
        patch.object(face_track.PredictedTrack, "action_units", timed_units),
    ):
        yield spent


def measure(engine: MediapipeEngine, clips: list[Path], openface: Path) -> dict[str, Agreement]:
    """By Action Unit."""
    engine.load()
    try:
        done = []
        for clip, result in zip(clips, engine.run(clips), strict=True):
            if not isinstance(result, VideoResult):
                raise SystemExit(f"{clip.name}: {result}")
            done.append((result, read_openface(openface / f"{clip.stem}.csv")))
    finally:
        engine.close()
    return {unit: agreement(unit, done) for unit in done[0][0].action_units}


def show(name: str, found: Mapping[str, Agreement]) -> None:
    """As a table of Markdown."""
    print(f"\n| {name} | r | AUC | F1 | OpenFace's share |\n|---|---|---|---|---|")
    for unit, one in found.items():
        cells = ("-" if value is None else f"{value:.2f}" for value in (one.r, one.auc, one.f1))
        print(f"| {unit} | {' | '.join(cells)} | {one.share:.2f} |")
    means = []
    for field in ("r", "auc", "f1"):
        values = [value for one in found.values() if (value := getattr(one, field)) is not None]
        means.append(f"{np.mean(values):.2f}")
    print(f"| mean | {' | '.join(means)} | |")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.action_unit_agreement", description=__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="a folder of mp4 files")
    parser.add_argument("--openface", type=Path, required=True, help="a folder with OpenFace's CSV file of each")
    parser.add_argument("--models", type=Path, help="a folder with OpenFace's model files")
    options = parser.parse_args(arguments)
    clips = [clip for clip in sorted(options.clips.glob("*.mp4")) if (options.openface / f"{clip.stem}.csv").is_file()]
    if not clips:
        raise SystemExit(f"{options.openface} has no CSV file of a clip in {options.clips}")
    show("mediapipe", measure(MediapipeEngine(OpenFaceAuSettings()), clips, options.openface))
    if options.models is not None:
        engine = PredictorsEngine(OpenFaceAuSettings(predictors_folder=options.models))
        with timed() as spent:
            show("openface_predictors", measure(engine, clips, options.openface))
        milliseconds = 1000 * spent["seconds"] / spent["faces"]
        print(f"\n{milliseconds:.2f} ms of processor time a face and frame, beside finding the face")
        print(json.dumps({"milliseconds": round(milliseconds, 3), "faces": int(spent["faces"])}))


if __name__ == "__main__":
    main()

"""Research clips against OpenFace's outputs; both lie outside the project."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from merrflow_openface_au.engines.mediapipe.engine import MediapipeEngine
from merrflow_openface_au.types import VideoResult

CLIPS = (
    "sample_00000338",
    "sample_00000669",
    "sample_00002422",
    "sample_00003462",
    "sample_00004671",
    "samplenew_00051251",
)
CUT = {"samplenew_00051251": 39}  # first frame of the second shot


@pytest.fixture(scope="module")
def results(engine: MediapipeEngine, shared: Path) -> dict[str, VideoResult]:
    return {name: engine.run([shared / "clips" / f"{name}.mp4"])[0] for name in CLIPS}


def openface(shared: Path, name: str) -> dict[str, np.ndarray]:
    with open(shared / "openface" / f"{name}.csv", newline="") as file:
        rows = [{key.strip(): float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def test_the_face_is_found_in_nearly_every_frame(results: dict[str, VideoResult]) -> None:
    for name, result in results.items():
        counts = np.array([len(frame.faces) for frame in result.frames])
        assert (counts >= 1).mean() > 0.95, name
        assert counts.max() == 1, f"{name}: others in the picture show their backs or wear masks"


def test_boxes_and_yaw_agree_with_openface(results: dict[str, VideoResult], shared: Path) -> None:
    ours, theirs = [], []
    for name, result in results.items():
        reference = openface(shared, name)
        for frame in result.frames:
            i = frame.index
            if not frame.faces or reference["success"][i] != 1 or reference["confidence"][i] < 0.9:
                continue
            x, y, width, height = frame.faces[0].box
            assert x < reference["x_30"][i] < x + width and y < reference["y_30"][i] < y + height, (name, i)
            ours.append(frame.faces[0].pose.yaw)
            theirs.append(np.degrees(reference["pose_Ry"][i]))
    assert np.corrcoef(ours, theirs)[0, 1] < -0.8  # OpenFace counts yaw the other way


def test_no_face_is_carried_over_the_cut(results: dict[str, VideoResult]) -> None:
    frames = results["samplenew_00051251"].frames
    cut = CUT["samplenew_00051251"]
    assert all(frame.faces[0].box[0] > 900 for frame in frames[:cut])
    assert all(frame.faces[0].box[0] < 600 for frame in frames[cut:])


def test_small_persons_come_from_the_second_pass(results: dict[str, VideoResult]) -> None:
    assert all(frame.faces[0].second_pass for frame in results["sample_00000338"].frames)
    assert not any(face.second_pass for frame in results["sample_00000669"].frames for face in frame.faces)


@pytest.mark.parametrize(("unit", "at_least"), [("AU14", 0.25), ("AU25", 0.4)])
def test_correlation_with_openface_within_clips(
    results: dict[str, VideoResult], shared: Path, unit: str, at_least: float
) -> None:
    values, weights = [], []
    for name, result in results.items():
        reference = openface(shared, name)
        for start, end in ((0, CUT.get(name, 10**6)), (CUT.get(name, 10**6), 10**6)):
            picked = [
                (frame.faces[0].action_units[unit].intensity, reference[f"{unit}_r"][frame.index])
                for frame in result.frames[start:end]
                if frame.faces
                and reference["success"][frame.index] == 1
                and reference["confidence"][frame.index] >= 0.7
            ]
            pairs = np.array(picked).reshape(-1, 2)
            if len(pairs) > 8 and pairs[:, 1].std() > 0.08:
                moves = pairs[:, 0].std() > 1e-9
                values.append(np.corrcoef(pairs.T)[0, 1] if moves else 0.0)
                weights.append(len(pairs))
    assert np.average(values, weights=weights) >= at_least


def test_a_lowered_brow_is_known_by_presence_only(results: dict[str, VideoResult]) -> None:
    seen = [face.action_units["AU04"] for r in results.values() for frame in r.frames for face in frame.faces]
    assert {one.intensity for one in seen} == {None}
    assert {one.present for one in seen} == {False, True}


def test_only_wide_openings_count_as_a_dropped_jaw(results: dict[str, VideoResult], shared: Path) -> None:
    seen = [
        openface(shared, name)["AU26_c"][frame.index]
        for name, result in results.items()
        for frame in result.frames
        if frame.faces and frame.faces[0].action_units["AU26"].present
        if openface(shared, name)["success"][frame.index] == 1
    ]
    assert len(seen) >= 10 and np.mean(seen) >= 0.6


def test_no_smile_is_seen_where_nobody_smiles(results: dict[str, VideoResult]) -> None:
    seen = [face.action_units["AU12"].present for r in results.values() for frame in r.frames for face in frame.faces]
    assert np.mean(seen) < 0.02

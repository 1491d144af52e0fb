"""From features to Action Units, on arrays whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_openface_au.engines.mediapipe.action_units import action_units, features, intensity, smooth
from merrflow_openface_au.engines.mediapipe.rules import BLENDSHAPES, ActionUnitRule, Baseline, load_rules

BASELINE = Baseline(percentile=20, half_weight_frames=10)


def rule(**changes) -> ActionUnitRule:
    values = {
        "name": "Test",
        "terms": {"mouthSmile": 1.0},
        "neutral": 0.1,
        "gain": 5.0,
        "present_from": 1.0,
        "personal_baseline": False,
        "smooth_frames": 1,
        "source": "made for this test",
    }
    return ActionUnitRule(**(values | changes))


def blendshapes(frames: int, **values) -> np.ndarray:
    table = np.zeros((frames, len(BLENDSHAPES)))
    for name, value in values.items():
        table[:, BLENDSHAPES.index(name)] = value
    return table


def test_sides_are_averaged() -> None:
    table = features(blendshapes(2, mouthSmileLeft=0.2, mouthSmileRight=0.6), [])
    assert table["mouthSmile"] == pytest.approx([0.4, 0.4])
    assert "mouth" not in table  # mouthLeft and mouthRight are two movements, not two sides of one


def test_intensity_is_linear_and_bounded() -> None:
    table = {"mouthSmile": np.array([0.0, 0.1, 0.3, 1.0, 3.0])}
    got = intensity(rule(), table, np.arange(5), BASELINE)
    assert got == pytest.approx([0.0, 0.0, 1.0, 4.5, 5.0])


def test_personal_baseline_takes_a_resting_smile_away() -> None:
    resting = np.full(200, 0.5)
    resting[100:110] = 0.9
    table = {"mouthSmile": resting}
    plain = intensity(rule(), table, np.arange(200), BASELINE)
    personal = intensity(rule(personal_baseline=True), table, np.arange(200), BASELINE)
    assert plain[0] == pytest.approx(2.0)
    assert personal[0] < 0.15
    assert personal[105] == pytest.approx(2.0, abs=0.15)


def test_one_frame_has_no_personal_baseline() -> None:
    table = {"mouthSmile": np.array([0.5])}
    assert intensity(rule(personal_baseline=True), table, np.array([0]), BASELINE) == pytest.approx([2.0])


def test_smoothing_stops_at_gaps() -> None:
    values = np.array([0.0, 0.0, 9.0, 9.0])
    assert smooth(values, np.array([0, 1, 2, 3]), 3) == pytest.approx([0, 3, 6, 9])
    assert smooth(values, np.array([0, 1, 5, 6]), 3) == pytest.approx([0, 0, 9, 9])
    assert smooth(values, np.arange(4), 1) is values


def test_presence_is_intensity_at_the_threshold() -> None:
    rules = load_rules()
    wide = blendshapes(3, mouthSmileLeft=[0.0, 0.1, 0.9], mouthSmileRight=[0.0, 0.1, 0.9])
    geometry = [dict.fromkeys(("lip_gap", "lip_gap_ratio", "mouth_width", "corner_height"), 0.0)] * 3
    geometry = [g | dict.fromkeys(("inner_brow_height", "outer_brow_height", "brow_distance"), 0.4) for g in geometry]
    geometry = [g | dict.fromkeys(("eye_opening", "lower_lid_height", "jaw_length"), 0.3) for g in geometry]
    smiles = [values["AU12"] for values in action_units(rules, features(wide, geometry), np.array([0, 10, 20]))]
    assert [smile.present for smile in smiles] == [False, False, True]
    assert smiles[0].intensity == 0.0
    assert smiles[2].intensity == 5.0

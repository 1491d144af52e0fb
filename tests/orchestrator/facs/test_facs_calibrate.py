"""Weights fitted to annotations, and what is said of them."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest

from merrflow.core.errors import InputError
from merrflow.facs import load_rules
from merrflow.facs.calibrate import accuracy, calibrate, ceiling, predict
from merrflow.facs.render import rules_yaml
from merrflow.facs.units import openface_units
from merrflow.formats.labelled import read_labelled
from tests.paths import SHARED

pytest.importorskip("sklearn")
ANNOTATIONS = SHARED / "merr" / "merr_fine_grained.half.json"
OPENFACE = openface_units()
DEFAULT = load_rules("default")
published = pytest.mark.skipif(not ANNOTATIONS.is_file(), reason="no published annotations in ../shared/merr")
# log odds against neutral that the planted annotations are drawn from
PLANTED = {"happy": (-1.0, {"AU12": 3.0, "AU04": -1.0}), "sad": (-1.0, {"AU15": 3.0, "AU12": -2.0})}


def planted(count: int, seed: int = 0) -> dict[str, dict]:
    draw = random.Random(seed)
    records = {}
    for number in range(count):
        units = [code for code in ("AU04", "AU12", "AU15", "AU25") if draw.random() < 0.4]
        odds = {label: b + sum(w.get(code, 0) for code in units) for label, (b, w) in PLANTED.items()}
        shares = {"neutral": 1.0, **{label: float(np.exp(value)) for label, value in odds.items()}}
        label = draw.choices(list(shares), list(shares.values()))[0]
        records[f"clip {number:05}"] = {"pseu_emotion": label, "peak_AU_list": units}
    return records


def write(folder: Path, records: dict, name: str = "mine.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(records))
    return path


def test_a_fit_finds_the_planted_weights(tmp_path: Path) -> None:
    found = calibrate(read_labelled(write(tmp_path, planted(6000)), DEFAULT), DEFAULT, "mine", measure=False)
    assert found.labels == ("neutral", "happy", "sad")
    for label, (_, weights) in PLANTED.items():
        for code, weight in found.rule(label).weights.items():
            assert weight == pytest.approx(weights.get(code, 0), abs=0.35), (label, code)
    assert found.base_rates["AU04"] == pytest.approx(0.4, abs=0.03)


def test_the_order_of_records_never_matters_and_the_file_reads_back_the_same(tmp_path: Path) -> None:
    records = planted(300)
    records |= {f"bored {n}": {"pseu_emotion": "disgust", "peak_AU_list": ["AU09"]} for n in range(9)}
    names = list(records)
    random.Random(1).shuffle(names)
    first = calibrate(read_labelled(write(tmp_path, records), DEFAULT), DEFAULT, "mine")
    shuffled = read_labelled(write(tmp_path, {name: records[name] for name in names}, "mine.json"), DEFAULT)
    second = calibrate(shuffled, DEFAULT, "mine")
    assert first.fit.left_out == {"disgust": 9}
    assert rules_yaml(first).replace(first.fit.sha256, second.fit.sha256) == rules_yaml(second)
    path = tmp_path / "mine.yaml"
    path.write_text(rules_yaml(first))
    assert load_rules(path).model_dump() == first.model_dump()
    assert max(map(len, rules_yaml(first).splitlines())) <= 120


def test_two_labels_only(tmp_path: Path) -> None:
    records = {
        name: record | {"pseu_emotion": record["pseu_emotion"].replace("sad", "neutral")}
        for name, record in planted(2000).items()
    }
    found = calibrate(read_labelled(write(tmp_path, records), DEFAULT), DEFAULT, "mine", measure=False)
    assert found.labels == ("neutral", "happy")
    assert found.rule("happy").weights["AU12"] > 2
    assert predict(found, [frozenset({"AU12"}), frozenset()], OPENFACE) == ["happy", "neutral"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": {"peak_AU_list": []}}', "clip 'a' needs `pseu_emotion`"),
        ('{"a": {"pseu_emotion": "bored", "peak_AU_list": []}}', "clip 'a': unknown label 'bored'"),
    ],
)
def test_annotations_that_cannot_be_read(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_labelled(path, DEFAULT)
    assert str(path) in str(caught.value)


def test_too_few_records_to_fit(tmp_path: Path) -> None:
    few = read_labelled(write(tmp_path, {"a": {"pseu_emotion": "happy", "peak_AU_list": ["AU12"]}}), DEFAULT)
    with pytest.raises(InputError, match="0 records are neutral"):
        calibrate(few, DEFAULT, "mine")
    blank = {name: record | {"peak_AU_list": []} for name, record in planted(300).items()}
    with pytest.raises(InputError, match="no record has an Action Unit"):
        calibrate(read_labelled(write(tmp_path, blank), DEFAULT), DEFAULT, "mine")


def test_figures_by_hand() -> None:
    truth = ["neutral", "neutral", "sad", "sad", "sad", "happy"]
    found = accuracy(truth, ["neutral", "sad", "sad", "sad", "neutral", "sad"])
    assert found["all"] == pytest.approx(3 / 6)
    assert found["non_neutral"] == pytest.approx(2 / 4)
    assert found["balanced"] == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    one, two = frozenset({"AU01"}), frozenset({"AU02"})
    assert ceiling(["a", "a", "b", "c"], [one, one, one, two]) == (0.75, 0.5)


@published
def test_the_packaged_weights_are_those_of_a_fit() -> None:
    packaged = load_rules("calibrated")
    annotations = read_labelled(ANNOTATIONS, DEFAULT)
    found = calibrate(annotations, DEFAULT, "calibrated", measure=False)
    assert packaged.fit.sha256 == annotations.sha256
    assert packaged.peak == found.peak
    assert packaged.base_rates == found.base_rates
    assert packaged.labels == found.labels
    for rule in found.rules:
        old = packaged.rule(rule.label)
        assert old.action_units == DEFAULT.rule(rule.label).action_units
        assert old.intercept == pytest.approx(rule.intercept, abs=0.011)
        assert old.weights == pytest.approx(rule.weights, abs=0.011)


@published
def test_the_packaged_figures_hold_by_another_route() -> None:
    """scikit-learn's own cross-validation of the unrounded model, in other folds, without the need of an own unit."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    fit = load_rules("calibrated").fit
    annotations = read_labelled(ANNOTATIONS, DEFAULT)
    codes = sorted(set().union(*annotations.units))
    table = np.array([[code in units for code in codes] for units in annotations.units], float)
    labels = np.array(annotations.labels)
    names, counts = np.unique(labels, return_counts=True)
    raw = counts**-0.5
    weights = dict(zip(names, raw * counts.sum() / (raw * counts).sum(), strict=True))
    model = LogisticRegression(class_weight=weights, max_iter=2000)
    given = cross_val_predict(model, table, labels, cv=StratifiedKFold(5, shuffle=True, random_state=7))
    found = accuracy(labels.tolist(), given.tolist())
    assert fit.accuracy.mean == pytest.approx(found["all"], abs=0.02)
    assert fit.non_neutral.mean == pytest.approx(found["non_neutral"], abs=0.03)
    for label in ("neutral", "happy", "sad", "angry", "worried"):
        assert fit.recall[label].mean == pytest.approx(found[f"recall {label}"], abs=0.06), label
    assert fit.majority == pytest.approx(counts.max() / counts.sum(), abs=0.001)

"""Labels, peaks, units, lists and texts: each against numbers worked out by hand, or by another library."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow.core.errors import InputError
from merrflow.datasets.evaluation.labels import in_order, measure_labels, normal
from merrflow.datasets.evaluation.lists import (
    best_lexicon,
    corrected_units,
    measure_lists,
    measure_phrases,
    same_phrase,
)
from merrflow.datasets.evaluation.measures import Detection, Share, plain
from merrflow.datasets.evaluation.peaks import measure_peaks
from merrflow.datasets.evaluation.texts import measure_sides
from merrflow.datasets.evaluation.units import measure_units, told_units
from merrflow.facs import load_lexicon, load_rules
from merrflow.formats.merr import read_annotations
from tests.orchestrator.datasets.evaluation.annotations import one

LABELS = st.sampled_from(["neutral", "happy", "sad", "fear"])


def test_labels_by_hand() -> None:
    file = ["neutral"] * 4 + ["sad"] * 4 + ["happy"] * 2
    given_ = ["neutral"] * 3 + ["sad"] + ["sad"] * 2 + ["neutral"] * 2 + ["happy", "fear"]
    found = measure_labels(file, given_, "neutral")
    assert found is not None
    assert (found.accuracy, found.non_neutral) == (Share(6, 10), Share(3, 6))
    assert found.balanced == pytest.approx((3 / 4 + 2 / 4 + 1 / 2) / 3)
    # chance: 4*5 + 4*3 + 2*1 of 100
    assert found.kappa == pytest.approx((0.6 - 0.34) / (1 - 0.34))
    assert (found.majority_label, found.majority) == ("neutral", Share(4, 10))
    labels = [row.label for row in found.rows]
    assert labels == ["neutral", "happy", "fear", "sad"]
    assert found.confusion == ((3, 0, 0, 1), (0, 1, 1, 0), (0, 0, 0, 0), (2, 0, 0, 2))
    fear = found.rows[2]
    assert (fear.clips, fear.given, fear.detection) == (0, 1, Detection(0.0, None, 0.0))


@settings(deadline=None)
@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40))
def test_labels_are_measured_as_scikit_learn_does(pairs: list[tuple[str, str]]) -> None:
    from sklearn.metrics import balanced_accuracy_score, f1_score, precision_recall_fscore_support

    file, given_ = [a for a, _ in pairs], [b for _, b in pairs]
    found = measure_labels(file, given_, "neutral")
    assert found is not None
    assert found.balanced == pytest.approx(
        precision_recall_fscore_support(file, given_, labels=sorted({*file}), average="macro", zero_division=0)[1]
    )
    if set(given_) <= set(file):
        same = len({*file}) == 1  # of one label alone scikit-learn warns
        assert found.balanced == pytest.approx(1.0 if same else balanced_accuracy_score(file, given_))
        assert found.macro_f1 == pytest.approx(f1_score(file, given_, average="macro", zero_division=0))
    assert sum(map(sum, found.confusion)) == len(pairs)
    assert not any(isinstance(v, float) and math.isnan(v) for v in (found.kappa, found.balanced, found.macro_f1))


def test_labels_of_one_kind_have_no_kappa() -> None:
    found = measure_labels(["happy"] * 3, ["happy"] * 3, "neutral")
    assert found is not None and found.kappa is None and found.non_neutral == Share(3, 3)
    assert measure_labels([], [], "neutral") is None


def test_an_unknown_label_of_a_table_is_named_by_line(tmp_path: Path) -> None:
    for name, text in (("f.csv", "name,label\na,happy\nb,bored\n"), ("f.txt", "a 5 happy\n\nb 5 bored\n")):
        (tmp_path / name).write_text(text)
        found = read_annotations(tmp_path / name)["b"]
        with pytest.raises(InputError, match=rf"{name}, line 3: clip 'b': unknown label 'bored'"):
            normal(found, [load_rules("default")], (), tmp_path / name)


def test_labels_go_by_their_own_word_or_are_named() -> None:
    sets = [load_rules("default")]
    assert normal(one(label="Anger"), sets, (), "f.json") == "angry"
    assert normal(one(label="bored"), sets, {"bored"}, "f.json") == "bored"
    with pytest.raises(InputError, match=r"f\.json: clip 'clip': unknown label 'bored'; known are neutral, happy"):
        normal(one(label="bored"), sets, (), "f.json")
    assert in_order({"zeal", "sad", "neutral", "ardour"}) == ["neutral", "sad", "ardour", "zeal"]


def test_peak_distances_keep_their_sign() -> None:
    differences = [-3, 0, 0, 1, 12]
    pairs = [(one(peak_index=20), one(peak_index=20 + d)) for d in differences]
    found = measure_peaks([*pairs, (one(peak_index=None), one())])
    assert found is not None
    assert (found.clips, found.median, found.mean) == (5, 1.0, 16 / 5)
    assert (found.median_difference, found.mean_difference) == (0.0, 2.0)
    assert (found.earlier, found.later) == (1, 2)
    assert {limit: share.hits for limit, share in found.within.items()} == {0: 2, 1: 3, 2: 3, 5: 4, 10: 4}
    assert list(found.differences.items()) == [(-3, 1), (0, 2), (1, 1), (12, 1)]
    assert measure_peaks([(one(peak_index=None), one())]) is None


def test_units_that_cannot_be_measured_are_told_apart() -> None:
    pairs = [
        (one("a", peak_units=("AU04", "AU12", "AU20")), one("a", peak_units=("AU12", "AU45"))),
        (one("b", peak_units=("AU04",)), one("b", peak_units=("AU04", "AU12"))),
        (one("c", peak_units=None), one("c")),
    ]
    able = frozenset({"AU04", "AU12", "AU45"})
    found = measure_units(pairs, {"AU04", "AU12", "AU20"}, {"a": able, "b": able})
    assert found is not None and found.engine_known
    rows = {row.unit: row for row in found.rows}
    assert list(rows) == ["AU04", "AU12", "AU20", "AU45"]
    assert rows["AU04"].detection == Detection(1.0, 0.5, pytest.approx(2 / 3))
    assert rows["AU12"].detection == Detection(0.5, 1.0, pytest.approx(2 / 3))
    assert rows["AU20"].detection == Detection(None, None, None)  # not a miss of 0, but not known
    assert (rows["AU20"].file, rows["AU20"].measured, rows["AU20"].comparable) == (1, 0, False)
    assert (found.unmeasurable, found.untold) == (("AU20",), ("AU45",))
    assert found.micro == Detection(pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found.micro_all == Detection(0.5, 0.5, 0.5)  # AU45 claimed falsely, AU20 missed
    assert found.macro.precision == pytest.approx(0.75)


def test_the_files_tool_tells_openface_s_units_and_what_stands_there() -> None:
    told = told_units([one(peak_units=("AU24",))])
    assert {"AU02", "AU24", "AU28"} <= told
    assert not {"AU27", "AU45"} & told  # MERR's lists leave blinks out
    assert "AU45" in told_units([one(peak_units=("AU45",))])


def test_units_of_an_unknown_engine_count_as_measured() -> None:
    found = measure_units([(one(), one(peak_units=()))], {"AU06", "AU12"}, {})
    assert found is not None and not found.engine_known and not found.unmeasurable
    assert found.micro == Detection(None, 0.0, 0.0)


@pytest.mark.parametrize(
    ("label", "written", "peak", "true"),
    [
        ("sad", ("AU04", "AU15"), ("AU04", "AU14"), ("AU04", "AU14")),
        ("sad", ("AU04", "AU15"), ("AU04", "AU15"), ("AU04", "AU15")),
        ("sad", ("AU15", "AU15"), ("AU14", "AU15"), ("AU15", "AU14")),
        ("sad", ("AU15", "AU14"), ("AU14", "AU15"), ("AU15", "AU14")),
        ("contempt", ("AU15",), ("AU14",), ("AU15",)),
        ("neutral", ("AU04",), (), ("AU04",)),
    ],
)
def test_the_published_erratum_is_put_right_where_the_peak_tells(
    label: str, written: tuple[str, ...], peak: tuple[str, ...], true: tuple[str, ...]
) -> None:
    assert corrected_units(one(label=label, units=written, peak_units=peak)) == true


def test_lists_are_compared_as_sets_and_in_order() -> None:
    pairs = [
        (one(units=("AU06", "AU12")), one(units=("AU12", "AU06"))),
        (one(units=("AU06", "AU12")), one(units=("AU06",))),
        (one(units=()), one(units=())),
        (one(label="sad", units=("AU15",), peak_units=("AU14",)), one(units=("AU14",))),
    ]
    found = measure_lists(pairs)
    assert found is not None
    assert (found.same_set, found.same_order) == (Share(3, 4), Share(2, 4))
    assert found.overlap == pytest.approx((1 + 0.5 + 1 + 1) / 4)


def test_phrases_belong_to_their_unit() -> None:
    merr = load_lexicon("merr")
    annotations = [
        one(units=("AU12",), phrases=("Big smile",)),
        one(units=("AU05",), phrases=("Big smile",)),  # a phrase of another unit
        one(units=("AU04",), phrases=("A look of disapprroval",)),
        one(label="sad", units=("AU15",), phrases=("Insecure",)),
        one(label="fear", units=("AU15",), phrases=("Insecure",)),
    ]
    found = measure_phrases(annotations, merr)
    assert (found.phrases, found.in_lexicon, found.misspelt, found.errata, found.unknown) == (5, 1, 1, 1, 2)
    assert found.examples == ("AU05: Big smile", "AU15: Insecure")
    assert found.accounted == Share(3, 5)
    assert best_lexicon(annotations) == "merr"
    assert best_lexicon([one(phrases=(load_lexicon("default").phrases["AU12"][0],))]) == "default"


def test_the_same_phrase_counts_only_for_units_that_both_name() -> None:
    a = one(units=("AU06", "AU12"), phrases=("Cheek Raiser", "Big smile"))
    b = one(units=("AU12", "AU25"), phrases=("big smile", "Lips part"))
    assert same_phrase([(a, b)]) == Share(1, 1)


def test_texts_by_hand_and_by_scikit_learn() -> None:
    texts = {"a": "She smiles, she smiles.", "b": "she SMILES at him", "c": "She smiles at  him", "d": " "}
    found = measure_sides(
        {"run": texts, "file": {"x": "One. Two, three!", "y": "One two four", "z": "five"}, "none": {}}
    )
    assert list(found) == ["run", "file"]
    ours = found["run"]
    assert (ours.texts, ours.shortest, ours.longest, ours.median, ours.mean) == (3, 4, 4, 4.0, 4.0)
    assert ours.duplicated == 2
    assert ours.sampled == 3
    assert (ours.distinct_1, ours.distinct_2) == (4 / 12, 4 / 9)
    from sklearn.feature_extraction.text import CountVectorizer

    counts = CountVectorizer(ngram_range=(2, 2), binary=True).fit_transform([texts[name] for name in "abc"]).toarray()
    expected = [(a & b).sum() / (a | b).sum() for a, b in combinations(counts, 2)]
    assert ours.overlap == pytest.approx(sum(expected) / 3)
    assert found["file"].overlap == pytest.approx(1 / 3)  # "five" has no pair of words


def test_texts_are_sampled_alike_whatever_their_order() -> None:
    many = {f"clip_{i}": f"word{i} and word{i % 7}" for i in range(50)}
    few = {f"clip_{i}": "one text" for i in range(10)}
    found = measure_sides({"run": many, "file": few})
    assert (found["run"].sampled, found["run"].texts) == (10, 50)
    assert measure_sides({"run": dict(reversed(many.items())), "file": few}) == found


def test_json_has_shares_with_their_interval() -> None:
    assert plain(Share(0, 1)) == {"hits": 0, "total": 1, "share": 0.0, "interval_95": [0.0, 0.7935]}
    assert plain(Share(0, 0)) == {"hits": 0, "total": 0, "share": None, "interval_95": None}
    assert str(plain(-0.00001)) == "0.0"


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_f1_is_the_harmonic_mean(right: int, false: int, missed: int) -> None:
    found = Detection.of(right, false, missed)
    if found.precision and found.recall:
        assert found.f1 == pytest.approx(2 / (1 / found.precision + 1 / found.recall))
    else:
        assert found.f1 in (None, 0.0)

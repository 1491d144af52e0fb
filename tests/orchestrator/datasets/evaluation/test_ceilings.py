"""The bounds of what a set of Action Units can tell."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow.datasets.evaluation.ceilings import measure_ceilings

BROW, SMILE, NONE = frozenset({"AU04"}), frozenset({"AU12"}), frozenset[str]()


def test_bounds_by_hand() -> None:
    sets = [BROW] * 6 + [SMILE] * 3 + [NONE]
    labels = ["neutral"] * 4 + ["sad"] * 2 + ["happy"] * 2 + ["neutral"] + ["neutral"]
    found = measure_ceilings(sets, labels, "neutral")
    assert (found.sets, found.single) == (3, 1)
    assert found.all.ceiling.mean == pytest.approx(7 / 10)  # neutral 4, happy 2, neutral 1
    assert found.all.majority.mean == pytest.approx(6 / 10)
    assert found.non_neutral is not None
    assert found.non_neutral.ceiling.mean == pytest.approx(1.0)  # sad and happy, never neutral
    assert found.non_neutral.majority.mean == pytest.approx(0.5)
    assert found.balanced.ceiling.mean == pytest.approx((1 + 1 + 1 / 6) / 3)
    assert found.balanced.majority.mean == pytest.approx(1 / 3)
    assert found.all.lookup is None  # fewer records of any label than folds


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([BROW, SMILE, NONE]), st.sampled_from("abc")), min_size=1, max_size=20))
def test_no_function_of_the_set_beats_the_ceiling(records: list[tuple[frozenset[str], str]]) -> None:
    sets, labels = [units for units, _ in records], [label for _, label in records]
    found = measure_ceilings(sets, labels, "a")
    counts = Counter(labels)
    for said in product("abc", repeat=3):
        function = dict(zip([BROW, SMILE, NONE], said, strict=True))
        right = Counter(label for units, label in records if function[units] == label)
        assert right.total() / len(records) <= found.all.ceiling.mean + 1e-9
        assert sum(right[label] / counts[label] for label in counts) / len(counts) <= found.balanced.ceiling.mean + 1e-9


def test_what_generalises_is_found_and_what_is_noise_is_not() -> None:
    told = measure_ceilings([SMILE, BROW] * 50, ["happy", "sad"] * 50, "neutral")
    assert told.all.lookup is not None and told.all.lookup.mean == pytest.approx(1.0)
    # every record has a set of its own: in-sample all right, on other records no better than one label for all
    own = [frozenset({f"AU{i}"}) for i in range(100)]
    noise = measure_ceilings(own, ["happy"] * 60 + ["sad"] * 40, "neutral")
    assert noise.all.ceiling.mean == pytest.approx(1.0)
    assert noise.all.lookup is not None and noise.all.lookup.mean == pytest.approx(0.6)


def test_all_neutral_has_no_figure_for_the_others() -> None:
    assert measure_ceilings([BROW], ["neutral"], "neutral").non_neutral is None

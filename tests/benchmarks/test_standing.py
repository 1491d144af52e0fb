from __future__ import annotations

from collections import Counter

from benchmarks.standing import KINDS, SIZE, records, table
from merrflow.core.labels import Verdict


def test_planted_labels_are_found_and_right_ones_are_spared() -> None:
    found = table()
    assert sum(counts.total() for counts in found.values()) == SIZE
    assert set(found) == set(KINDS)
    right, clear = found["right"], found["against face and words"]
    wrong = sum((counts for kind, counts in found.items() if kind != "right"), Counter[Verdict]())
    assert right[Verdict.CONTRADICTED] <= 0.05 * right.total()
    assert right[Verdict.CONFIRMED] >= 0.4 * right.total()  # less than once, for the sake of precision:
    assert right[Verdict.CONFIRMED] >= 0.9 * (right[Verdict.CONFIRMED] + wrong[Verdict.CONFIRMED])
    assert clear[Verdict.CONTRADICTED] >= 0.5 * clear.total()
    assert clear[Verdict.CONFIRMED] <= 0.05 * clear.total()
    assert wrong[Verdict.CONTRADICTED] >= 0.9 * (wrong[Verdict.CONTRADICTED] + right[Verdict.CONTRADICTED])


def test_the_same_seed_makes_the_same_records() -> None:
    assert list(records(40)) == list(records(40))
    assert list(records(40, seed=1)) != list(records(40))

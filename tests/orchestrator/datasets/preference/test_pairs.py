"""Which clips of two runs are compared, and which are not, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from merrflow.core.errors import InputError
from merrflow.core.records import Outcome
from merrflow.core.texts import Scene
from merrflow.datasets.preference.pairs import Kind, sample
from tests.orchestrator.datasets.preference.runs import matched, numbered, run_with


def pairs_of(a: Path, b: Path, kind: Kind = Kind.FINE):
    matching, ledger = matched(a, b, kind)
    ledger.close()
    return matching


def test_clips_are_matched_by_their_bytes_and_the_others_named(tmp_path: Path) -> None:
    a = run_with(tmp_path / "a", {"one": "A one", "two": "A two", "mute": None, "gone": "A"})
    b = run_with(
        tmp_path / "b",
        {"uno": "B one", "two": "A  two", "mute": "B", "new": "B", "silent": None},
        bytes_of={"uno": "one"},
    )
    found = pairs_of(a, b)
    assert [(pair.a.name, pair.b.name, pair.identical) for pair in found.pairs] == [
        ("two", "two", True),
        ("one", "uno", False),
    ]
    assert (found.only_a, found.only_b) == (("gone",), ("new", "silent"))
    assert (found.without_a, found.without_b) == (("mute",), ())


def test_copies_of_a_clip_are_compared_once_by_name_and_with_a_text_if_one_has_it(tmp_path: Path) -> None:
    copies = {"x": "same", "y": "same", "z": "same"}
    a = run_with(tmp_path / "a", {"x": None, "y": "A y"}, bytes_of=copies)
    b = run_with(tmp_path / "b", {"x": "B x", "y": "B y", "z": "B z"}, bytes_of=copies)
    found = pairs_of(a, b)
    assert [(pair.a.text, pair.b.text) for pair in found.pairs] == [("A y", "B y")]
    assert found.copies == 2


def test_a_text_that_the_run_rejected_is_none(tmp_path: Path) -> None:
    a = run_with(tmp_path / "a", {"one": "A", "two": "A"})
    b = run_with(tmp_path / "b", {"one": "B", "two": "B"}, outcome=Outcome.REJECTED)
    with pytest.raises(InputError, match=r"none of the 2 common clips has a fine-grained text in both runs: .*b: 2"):
        pairs_of(a, b)
    assert len(pairs_of(a, b, Kind.COARSE).pairs) == 2


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ({}, {"x": "B"}, "no record yet"),
        ({"x": "A"}, {"y": "B"}, "no clip in common"),
        ({"x": None}, {"x": "B"}, "--text coarse compares the others"),
        ({"x": "  "}, {"x": "B"}, "fine-grained text in both"),
    ],
)
def test_nothing_to_compare_is_said_with_the_reason(tmp_path: Path, a, b, words) -> None:
    with pytest.raises(InputError, match=words):
        pairs_of(run_with(tmp_path / "a", a), run_with(tmp_path / "b", b))


def test_a_pair_is_another_one_if_a_text_or_the_clip_changed(tmp_path: Path) -> None:
    a = run_with(tmp_path / "a", {"x": "A", "y": "A"})
    b = run_with(tmp_path / "b", {"x": "B", "y": "B"})
    changed = run_with(tmp_path / "c", {"x": "B changed", "y": "B"})
    before, after = pairs_of(a, b).pairs, pairs_of(a, changed).pairs
    assert before[0].id != after[0].id
    assert before[1].id == after[1].id
    assert before[0].id != before[1].id  # the same texts, another clip


def test_only_clues_that_both_runs_share_are_used(tmp_path: Path) -> None:
    a = run_with(tmp_path / "a", {"x": "A"}, scene=Scene("A street.", {}, ()))
    b = run_with(tmp_path / "b", {"x": "B"}, scene=Scene("A room.", {}, ()))
    (pair,) = pairs_of(a, b).pairs
    assert (pair.clues.scene, pair.clues.tone, pair.clues.subtitle) == ("", "A bright voice.", "What a day")
    assert pair.clues.expressions == ("Big smile",)
    other = run_with(tmp_path / "c", {"x": "C"}, scene=None, tone=None)
    assert not pairs_of(a, other).pairs[0].clues.tone


def test_a_sample_is_drawn_by_its_seed(tmp_path: Path) -> None:
    pairs = pairs_of(run_with(tmp_path / "a", numbered("A", 9)), run_with(tmp_path / "b", numbered("B", 9))).pairs
    assert len(sample(pairs, 4, 1)) == 4
    assert sample(pairs, 4, 1) == sample(pairs, 4, 1) != sample(pairs, 4, 2)
    assert set(sample(pairs, 3, 1)) < set(sample(pairs, 4, 1))  # a larger one goes on with the smaller
    assert sample(pairs, 0, 1) == sample(pairs, 99, 1) == pairs

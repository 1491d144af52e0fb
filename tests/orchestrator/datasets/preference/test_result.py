"""What answers come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from merrflow.datasets.preference.answers import Answer, Answers, By, Choice, Order, chosen
from merrflow.datasets.preference.result import LABELS_DIFFER, Outcome, compared, tally
from merrflow.store import NotYours
from tests.orchestrator.datasets.preference.runs import matched, numbered, run_with, said

MODEL = By.MODEL


@pytest.fixture
def both(tmp_path: Path):
    texts = numbered("B", 5) | {"clip_04": "A 4"}
    a = run_with(tmp_path / "a", numbered("A", 5))
    b = run_with(tmp_path / "b", texts, labels={"clip_01": "sad"})
    matching, ledger = matched(a, b)
    answers = Answers(ledger, matching.pairs)
    yield matching, answers, [pair.id for pair in matching.pairs]
    ledger.close()


def test_win_rate_interval_and_sign_test_by_hand() -> None:
    found = tally([Outcome.B] * 8 + [Outcome.A] * 2 + [Outcome.TIE] * 3 + [Outcome.INCONSISTENT, Outcome.OPEN])
    assert (found.b, found.a, found.ties, found.inconsistent, found.open) == (8, 2, 3, 1, 1)
    assert found.win_rate.value == 0.8
    assert (found.win_rate.low, found.win_rate.high) == (
        pytest.approx(0.4902, abs=1e-4),
        pytest.approx(0.9433, abs=1e-4),
    )
    assert found.p == pytest.approx(2 * (1 + 10 + 45) / 1024)  # both tails of B(10, 0.5)
    assert tally([Outcome.TIE]).p is None
    assert tally([]).win_rate.value is None


@pytest.mark.parametrize(
    ("order", "place", "choice"),
    [
        (Order.AB, "first", Choice.A),
        (Order.BA, "first", Choice.B),
        (Order.AB, "second", Choice.B),
        (Order.BA, "same", Choice.SAME),
    ],
)
def test_a_place_is_the_run_that_was_there(order, place, choice) -> None:
    assert chosen(order, place) is choice
    assert Answer("x", By.PEOPLE, "ann", order, choice).first == (place == "first")


def test_people_of_several_reviewers_ties_and_identical_texts(both) -> None:
    matching, answers, ids = both
    said(answers, ids[0], Choice.B)
    said(answers, ids[0], Choice.B, who="ben")
    said(answers, ids[1], Choice.B)
    said(answers, ids[1], Choice.A, who="ben")  # one each
    said(answers, ids[2], Choice.SAME)
    said(answers, ids[3], Choice.A)
    said(answers, ids[3], Choice.B, Order.BA)  # and the other way round another one
    found = compared(matching, matching.pairs, answers.all())
    (people,) = found.judged
    assert [people.outcomes[one] for one in ids[:4]] == ["b", "tie", "tie", "inconsistent"]
    assert [pair.a.name for pair in found.identical] == ["clip_04"]
    assert (people.swap.value, people.swap.of) == (0.0, 1)
    assert people.first.of == 6
    assert people.reviewers == {"ann": 5, "ben": 2}
    assert people.labels[LABELS_DIFFER].ties == 1
    assert people.labels["happy"].b == 1
    assert "ann, ben" in people.agreement


def test_a_model_must_prefer_it_in_both_orders(both) -> None:
    matching, answers, ids = both
    for place, pair in enumerate(ids[:4]):
        said(answers, pair, Choice.B, Order.AB, "m", MODEL)
        if place:
            said(answers, pair, Choice.A if place == 1 else Choice.B, Order.BA, "m", MODEL)
    said(answers, ids[2], Choice.B)
    said(answers, ids[3], Choice.A)
    people, model = compared(matching, matching.pairs, answers.all()).judged
    assert [model.outcomes[one] for one in ids[:4]] == ["open", "inconsistent", "b", "b"]
    assert (model.swap.value, model.swap.of) == (pytest.approx(2 / 3), 3)
    assert (model.with_people.value, model.with_people.of) == (0.5, 2)
    assert people.with_people is None


def test_an_answer_taken_back_counts_no_more_and_once(both) -> None:
    matching, answers, ids = both
    said(answers, ids[0], Choice.B)
    pair = matching.pairs[0]
    row = answers.undo(pair, "ann", Order.AB, "undo-0001")
    assert answers.undo(pair, "ann", Order.AB, "undo-0001") == row  # sent again after a break
    assert answers.all() == []
    for who, order in (("ann", Order.AB), ("ben", Order.AB), ("ann", Order.BA)):
        with pytest.raises(NotYours):
            answers.undo(pair, who, order, f"undo-{who}{order}")


def test_answers_to_other_texts_do_not_count(both, tmp_path: Path) -> None:
    _, answers, ids = both
    said(answers, ids[0], Choice.B)
    said(answers, ids[1], Choice.B)
    other, ledger = matched(run_with(tmp_path / "c", numbered("A", 5) | {"clip_00": "changed"}), tmp_path / "b")
    found = compared(other, other.pairs, Answers(ledger, other.pairs).all())
    ledger.close()
    assert [one.outcomes[other.pairs[0].id] for one in found.judged] == ["open"]
    assert found.judged[0].all.b == 1


def test_rows_of_a_newer_version_are_left_out(both) -> None:
    from merrflow.store import VerdictRow

    matching, answers, _ = both
    pair = matching.pairs[0]
    for place in ("compare/people/x", f"compare/people/{pair.id}/abba", "compare"):
        row = VerdictRow(pair.b.name, pair.sha256, "ann", "a", "{}", f"key-{place}", place)
        answers._ledger.say(row)
    assert answers.all() == []


def test_answers_change_no_record_and_no_review(both, tmp_path: Path) -> None:
    from merrflow.datasets.entries import entries
    from merrflow.datasets.review.verdicts import decisions
    from merrflow.store import Ledger

    _, answers, ids = both
    said(answers, ids[0], Choice.B)
    ledger = Ledger.in_folder(tmp_path / "b")
    assert decisions(ledger) == {}
    assert [entry.decision for entry in entries(ledger)] == [None] * 5
    ledger.close()

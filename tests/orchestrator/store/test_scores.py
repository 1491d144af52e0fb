"""Scores of texts in the ledger."""

from __future__ import annotations

from merrflow.store import Ledger, ScoreRow


def row(clip: str, judge: str = "rules", text: str = "t1", version: str = "v1", found: str = "[]") -> ScoreRow:
    return ScoreRow(clip, judge, text, version, found)


def test_a_row_of_the_same_clip_and_judge_is_replaced(tmp_path, ledger_url):
    ledger = Ledger.in_folder(tmp_path, ledger_url)
    ledger.put_scores([row("a"), row("b"), row("a", "model")])
    ledger.put_scores([row("a", text="t2")])
    ledger.put_scores([])
    assert list(ledger.scores()) == [row("a", "model"), row("a", text="t2"), row("b")]
    assert list(ledger.scores(["model"])) == [row("a", "model")]
    assert ledger.scored()["a", "rules"] == ("t2", "v1")
    ledger.close()


def test_any_number_of_rows_is_read(tmp_path, ledger_url):
    ledger = Ledger.in_folder(tmp_path, ledger_url)
    rows = [row(f"clip {number:04}") for number in range(1201)]
    ledger.put_scores(rows)
    assert list(ledger.scores()) == rows
    ledger.close()


def test_the_states_change_with_a_score_and_not_without_one(tmp_path, ledger_url):
    ledger = Ledger.in_folder(tmp_path, ledger_url)
    before = ledger.state()
    assert ledger.scores_state() == ""
    ledger.put_scores([row("a")])
    once, state = ledger.state(), ledger.scores_state()
    assert once != before
    ledger.put_scores([row("a")])
    assert (ledger.state(), ledger.scores_state()) == (once, state)
    ledger.put_scores([row("a", version="v2")])
    assert ledger.state() != once and ledger.scores_state() != state
    ledger.close()

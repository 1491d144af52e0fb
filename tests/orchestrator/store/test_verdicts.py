"""Verdicts in the ledger: added once, taken back by a row of their own, and never lost."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from merrflow.core.inputs import Found
from merrflow.store import UNDO, ClipGone, Ledger, NotYours, VerdictRow, live


@pytest.fixture
def ledger(tmp_path, ledger_url):
    ledger = Ledger.in_folder(tmp_path, ledger_url)
    (tmp_path / "a.mp4").write_bytes(b"video")
    ledger.register([Found(tmp_path / "a.mp4")], {tmp_path / "a.mp4": "a"})
    yield ledger
    ledger.close()


def verdict(ledger: Ledger, key: str, reviewer: str = "ann", **values) -> VerdictRow:
    sha256 = ledger.clips()[0].clip.sha256
    return VerdictRow("a", sha256, reviewer, "keep", '{"label": "happy"}', key, **values)


def test_a_verdict_that_is_sent_twice_is_one_row(ledger):
    first = ledger.say(verdict(ledger, "key-1"))
    assert ledger.say(verdict(ledger, "key-1")) == first == ledger.verdicts()[0]
    assert first.id > 0


def test_what_came_later_is_read_alone(ledger):
    first, second = ledger.say(verdict(ledger, "key-1")), ledger.say(verdict(ledger, "key-2"))
    assert ledger.verdicts(after=first.id) == [second]


def test_an_undo_is_a_row_and_brings_back_what_was_said_before(ledger):
    first, second = ledger.say(verdict(ledger, "key-1")), ledger.say(verdict(ledger, "key-2"))
    undo = replace(verdict(ledger, "key-3"), kind=UNDO, undoes=second.id)
    ledger.say(undo)
    rows = ledger.verdicts()
    assert len(rows) == 3
    assert live(rows) == [first]
    with pytest.raises(NotYours):
        ledger.say(replace(undo, key="key-4"))


def test_nobody_takes_back_what_another_said(ledger):
    first = ledger.say(verdict(ledger, "key-1"))
    with pytest.raises(NotYours):
        ledger.say(replace(verdict(ledger, "key-2", "ben"), kind=UNDO, undoes=first.id))
    assert len(live(ledger.verdicts())) == 1


def test_each_reviewer_and_each_audit_has_a_last_word_of_its_own(ledger):
    for number, (reviewer, audit) in enumerate((("ann", ""), ("ben", ""), ("ann", "audit"), ("ann", ""))):
        ledger.say(verdict(ledger, f"key-{number}", reviewer, audit=audit))
    assert [(row.reviewer, row.audit, row.key) for row in live(ledger.verdicts())] == [
        ("ben", "", "key-1"),
        ("ann", "audit", "key-2"),
        ("ann", "", "key-3"),
    ]


def test_a_verdict_on_a_clip_that_is_gone_or_has_other_bytes_is_refused(ledger):
    for row in (replace(verdict(ledger, "key-1"), clip="b"), replace(verdict(ledger, "key-1"), sha256="other")):
        with pytest.raises(ClipGone):
            ledger.say(row)
    assert ledger.verdicts() == []


def test_the_state_changes_with_reviews_but_not_with_audits(ledger):
    before = ledger.state()
    ledger.say(verdict(ledger, "key-1", audit="audit"))
    assert ledger.state() == before
    ledger.say(verdict(ledger, "key-2"))
    assert ledger.state() != before


def test_a_ledger_of_an_earlier_version_gets_the_table(tmp_path: Path):
    Ledger.in_folder(tmp_path).close()
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("DROP TABLE verdicts")
    ledger = Ledger.in_folder(tmp_path)
    assert ledger.verdicts() == []
    ledger.close()

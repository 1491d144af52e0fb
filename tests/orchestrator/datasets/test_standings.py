"""A label's standing in exports, and nothing of it where a record has none or the form is the published one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from merrflow.core.labels import Standing, Verdict, Vote
from merrflow.core.records import Outcome
from merrflow.datasets.entries import RECORDS, Entry
from merrflow.datasets.export.export import export
from merrflow.datasets.export.merr import merr_record
from merrflow.datasets.export.merr_strict import published
from merrflow.datasets.report import write_report
from merrflow.datasets.standings import standing_of, votes_in_words
from tests.orchestrator.datasets.report.runs import read, record, run

VOTES = (Vote("words", "against", "", 0.5, "“hate” is said"), Vote("voice", "abstains", "", 0.0, "no speech"))
PLAIN = record("clip")
STOOD = replace(
    PLAIN, label=replace(PLAIN.label, standing=Standing(Verdict.CONTRADICTED, VOTES, "words against happy", "w 1"))
)


def test_verdict_and_votes_in_words() -> None:
    assert standing_of(Entry(STOOD, Outcome.DONE, "")) == ("contradicted", "words against happy")
    assert votes_in_words(STOOD.label) == ["words, against (0.5): “hate” is said", "voice, abstains: no speech"]
    assert standing_of(Entry(PLAIN, Outcome.DONE, "")) == (None, None)
    assert votes_in_words(PLAIN.label) == []


def test_merr_has_it_beside_the_label_and_merr_strict_has_not() -> None:
    assert merr_record(Entry(STOOD, Outcome.DONE, ""), fine=True)["pseu_emotion_standing"] == "contradicted"
    for one in (published(STOOD), PLAIN):
        assert "pseu_emotion_standing" not in merr_record(Entry(one, Outcome.DONE, ""), fine=True)


def test_the_ledger_keeps_it() -> None:
    assert RECORDS.validate_json(RECORDS.dump_json(STOOD)) == STOOD


def test_the_report_shows_the_verdict_the_votes_and_how_many_there_are(tmp_path: Path) -> None:
    confirmed = replace(
        record("b"), label=replace(PLAIN.label, standing=Standing(Verdict.CONFIRMED, (), "face for happy", "w 1"))
    )
    page = read(write_report(run(tmp_path, [STOOD, confirmed, record("c")]), tmp_path))
    for text in (
        "By other witnesses: 1 confirmed, 1 contradicted.",
        "words against happy",
        "words, against (0.5): “hate” is said",
        "witnesses: w 1",
    ):
        assert text in page.text, text


def test_the_card_counts_the_verdicts(tmp_path: Path) -> None:
    folder = export(run(tmp_path, [STOOD, record("b")]), tmp_path, "huggingface").folder
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "other witnesses than the one that gave them: 0 confirmed, 0 undetermined, 1 contradicted." in card

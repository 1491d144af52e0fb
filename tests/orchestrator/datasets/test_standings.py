"""A label's standing in exports, and nothing of it where a record has none or the form is the published one."""

from __future__ import annotations

from dataclasses import replace

from merrflow.core.records import Outcome, Standing, Verdict, Vote
from merrflow.datasets.entries import RECORDS, Entry
from merrflow.datasets.export.merr import merr_record
from merrflow.datasets.export.merr_strict import published
from merrflow.datasets.standings import standing_of, votes_in_words
from tests.orchestrator.datasets.report.runs import record

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

"""Scoring a run: each text once, again if it changes, and what is done stays when a judge fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from merrflow.core.records import Outcome
from merrflow.core.texts import Reasoning
from merrflow.datasets.entries import RECORDS, entries
from merrflow.datasets.scoring.score import read_texts, score
from merrflow.datasets.scoring.scores import MEASURES
from merrflow.stages.claims.judge import Finding, Judgement
from merrflow.store import ScoreRow, StageRow
from merrflow_serving.errors import NotReady
from tests.orchestrator.datasets.report.runs import many, run


class FakeJudge:
    """Finds each claim supported; counts; may fail for some clip."""

    def __init__(self, name="fake", version="1", finding=Finding.SUPPORTED, fails="", reason="") -> None:
        self.name, self.version = name, version
        self.finding, self.fails, self.reason, self.asked = finding, fails, reason, []

    async def judge(self, clip, claims, evidence):
        if clip == self.fails:
            raise NotReady("the service is away")
        self.asked.append(clip)
        await asyncio.sleep(0)
        return [Judgement(claim, self.finding, "face", self.reason) for claim in claims]


def scored(ledger, *judges, only=None):
    counted = []
    remarks = asyncio.run(score(ledger, read_texts(ledger, only), judges, counted.append))
    return sum(counted), remarks


def changed(ledger, name, **changes):
    (found,) = entries(ledger, {name})
    ledger.finish_clip(
        name, "print", StageRow(Outcome.DONE, "", RECORDS.dump_json(replace(found.record, **changes)), 1)
    )


def test_each_text_is_judged_once_until_it_or_the_judge_changes(tmp_path):
    ledger, judge = run(tmp_path, many(3)), FakeJudge()
    assert scored(ledger, judge)[0] == 3
    assert scored(ledger, judge)[0] == 3
    assert sorted(judge.asked) == ["clip_00000", "clip_00001", "clip_00002"]
    changed(ledger, "clip_00001", reasoning=Reasoning("She smiles.", 1, 1, 1))
    scored(ledger, judge)
    assert judge.asked[3:] == ["clip_00001"]
    newer = FakeJudge(version="2")
    scored(ledger, newer)
    assert len(newer.asked) == 3


def test_a_changed_text_has_no_scores_until_it_is_scored(tmp_path):
    ledger = run(tmp_path, many(2))
    scored(ledger, FakeJudge())
    assert all(entry.scores for entry in entries(ledger))
    changed(ledger, "clip_00000", reasoning=Reasoning("She smiles.", 1, 1, 1))
    first, second = entries(ledger)
    assert not first.scores and second.scores
    assert second.scores.values()["fake_supported"] == 1


def test_a_changed_clue_is_scored_again(tmp_path):
    ledger, judge = run(tmp_path, many(1)), FakeJudge()
    scored(ledger, judge)
    changed(ledger, "clip_00000", scene=None)
    scored(ledger, judge)
    assert len(judge.asked) == 2


def test_what_is_done_stays_when_a_judge_is_away_and_the_next_call_goes_on(tmp_path):
    ledger = run(tmp_path, many(40))
    away = FakeJudge(fails="clip_00035")
    with pytest.raises(NotReady):
        scored(ledger, away)
    done = {clip for clip, judge in ledger.scored() if judge == "fake"}
    assert len(done) >= 32
    back = FakeJudge()
    assert scored(ledger, back)[0] == 40
    assert not done & set(back.asked) and len(done) + len(back.asked) == 40


def test_records_without_a_text_are_counted_and_left_alone(tmp_path):
    ledger = run(tmp_path, many(2), outcome=Outcome.REJECTED, reason="no")
    texts = read_texts(ledger)
    assert (texts.names, texts.without) == (frozenset(), 2)
    assert scored(ledger, FakeJudge()) == (0, ())


def test_only_some_clips(tmp_path):
    ledger, judge = run(tmp_path, many(3)), FakeJudge()
    assert scored(ledger, judge, only={"clip_00002"})[0] == 1
    assert judge.asked == ["clip_00002"]
    (found,) = (entry for entry in entries(ledger) if entry.scores)
    assert found.scores.measures["same_text"].value == 2  # compared with all


def test_a_judge_that_says_the_same_of_all_is_named(tmp_path):
    ledger = run(tmp_path, many(30))
    nonsense = FakeJudge(finding=Finding.NOT_TOLD, reason="the model's answer cannot be used: NaN")
    _, remarks = scored(ledger, nonsense)
    assert "30 of 30 answers could not be used" in remarks[0]
    assert "does not tell right claims from wrong ones" in remarks[1]


def test_rows_that_cannot_be_read_are_no_scores(tmp_path):
    ledger = run(tmp_path, many(1))
    scored(ledger, FakeJudge())
    rows = [ScoreRow(row.clip, row.judge, row.text, row.version, "nonsense") for row in ledger.scores()]
    ledger.put_scores(rows)
    (entry,) = entries(ledger)
    assert not entry.scores


def test_measures_follow_the_other_texts(tmp_path):
    ledger = run(tmp_path, many(2))
    scored(ledger)
    changed(ledger, "clip_00001", reasoning=Reasoning("Something else is said here.", 1, 1, 1))
    scored(ledger)
    first, _ = entries(ledger)
    assert first.scores.measures["same_text"].value == 0
    assert {judge for _, judge in ledger.scored()} == {MEASURES}

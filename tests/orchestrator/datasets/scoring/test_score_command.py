"""`merrflow score` as a user runs it, against real services."""

from __future__ import annotations

import csv
import json

import pytest
from typer.testing import CliRunner

from merrflow.cli.app import app
from merrflow.core.errors import InputError
from merrflow.core.records import Outcome
from merrflow.datasets.export.export import export
from merrflow.store import existing_ledger
from merrflow_serving.errors import MerrflowError, NotReady
from tests.orchestrator.datasets.report.runs import many, read, run
from tests.orchestrator.fakes import JudgingReasoner, fake_services, trouble


def called(*arguments):
    return CliRunner().invoke(app, ["score", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def out(tmp_path):
    run(tmp_path / "out", many(3)).close()
    return tmp_path / "out"


def test_files_report_and_exports_have_the_scores(out):
    ran = called("--out", out)
    assert ran.exit_code == 0
    assert "rules_supported" in ran.stdout and "not measured" in ran.stdout
    rows = list(csv.DictReader((out / "scores.csv").open(encoding="utf-8-sig")))
    assert [row["name"] for row in rows] == ["clip_00000", "clip_00001", "clip_00002"]
    assert rows[0]["words_wer"] == ""  # not measured is not zero
    lines = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    assert lines[0]["measures"]["words_wer"] == {
        "value": None,
        "reason": "no speech was recognised beside the subtitle",
    }
    assert {"claim", "finding", "clue", "reason"} == set(lines[0]["claims"]["rules"][0])
    assert "Scores of the texts" in read(out / "report.html").text
    record = json.loads((out / "records.jsonl").read_text().splitlines()[0])
    assert record["scores"]["claims"] == lines[0]["claims"]
    ledger = existing_ledger(out)
    export(ledger, out, "csv")
    exported = list(csv.DictReader((out / "export/csv/clips.csv").open(encoding="utf-8-sig")))
    assert exported[0]["score_rules_supported"] == rows[0]["rules_supported"]
    export(ledger, out, "huggingface")
    card = (out / "export/huggingface/README.md").read_text()
    assert "## Scores of the texts" in card and "`score_au_f1`" in card
    assert "| words\\_wer: word error rate between subtitle and recognised speech | not measured | 0 |" in card
    ledger.close()


def test_json_says_why_something_is_not_measured(out):
    found = json.loads(called("--out", out, "--json").stdout)
    assert found["texts"] == 3
    wer = found["scores"]["words_wer"]
    assert (wer["mean"], wer["measured"]) == (None, 0)
    assert wer["not_measured"] == {"no speech was recognised beside the subtitle": 3}


def test_without_scores_nothing_is_said_of_them(out):
    ledger = existing_ledger(out)
    export(ledger, out, "csv")
    export(ledger, out, "huggingface")
    ledger.close()
    assert "score_" not in (out / "export/csv/clips.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    assert "Scores" not in (out / "export/huggingface/README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--judge", "gpt"), "there is no judge 'gpt'; the judges are: rules, model"),
        (("--only", "nobody"), "has no clip nobody"),
    ],
)
def test_what_cannot_be_asked_for_is_said_in_a_line(out, arguments, message):
    with pytest.raises(InputError, match=message):
        called("--out", out, *arguments)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no run was ever made into this folder"):
        called("--out", tmp_path / "none")


def test_a_run_without_texts_has_no_scores(tmp_path):
    run(tmp_path / "out", many(2), outcome=Outcome.NO_GROUND, reason="no clue").close()
    ran = called("--out", tmp_path / "out")
    assert ran.exit_code == 0
    assert "no record has a fine-grained text to score" in ran.stdout
    assert "not scored: 2" in ran.stdout


async def test_the_model_judges_through_its_service_and_goes_on_after_it_was_away(out, monkeypatch):
    from merrflow.cli.score import _score

    async with fake_services(llama3=JudgingReasoner) as addresses:
        monkeypatch.setenv("MERRFLOW_LLAMA3_ADDRESS", addresses["llama3_address"])
        monkeypatch.setenv("MERRFLOW_RETRY_SECONDS", "1")
        ledger = existing_ledger(out)
        try:
            trouble["llama3"] = NotReady("no memory")
            with pytest.raises(MerrflowError):
                await _score(ledger, out, ["model"], None, None, None)
            trouble.clear()
            tally, _ = await _score(ledger, out, ["model"], None, None, None)
        finally:
            trouble.clear()
            ledger.close()
    figures = {figure.name: figure for figure in tally.figures()}
    assert figures["model_supported"].measured == 3
    assert figures["model_contradicted"].mean == 0


async def test_a_service_with_another_prompt_is_refused(out, monkeypatch):
    from merrflow.cli.score import _score

    async with fake_services() as addresses:
        monkeypatch.setenv("MERRFLOW_LLAMA3_ADDRESS", addresses["llama3_address"])
        ledger = existing_ledger(out)
        with pytest.raises(InputError, match="MERRFLOW_LLAMA3_SCORE_PROMPT=judge"):
            await _score(ledger, out, ["model"], None, None, None)
        ledger.close()


@pytest.mark.slow
def test_without_an_address_a_service_with_the_prompt_is_started(tmp_path, monkeypatch):
    monkeypatch.delenv("MERRFLOW_LLAMA3_ADDRESS", raising=False)
    run(tmp_path / "out", many(1)).close()
    ran = called("--out", tmp_path / "out", "--judge", "model", "--json")
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["scores"]["model_not_told"]["measured"] == 1

"""`merrflow compare` as its users see it: the model as the judge, what is written, and bad input."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from merrflow.cli.app import app
from merrflow.core.errors import InputError
from merrflow.datasets.preference.answers import Answers, Choice, Order
from merrflow.store import Ledger
from merrflow_serving.errors import NotReady
from tests.orchestrator.datasets.preference.judges import Declines, LikesB, LikesTheFirst, serving
from tests.orchestrator.datasets.preference.runs import matched, numbered, run_with, said
from tests.ports import free_port

COUNT = 5


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    a = run_with(tmp_path / "old", numbered("A wrote", COUNT) | {"only_a": "A"})
    texts = numbered("B wrote", COUNT) | {"clip_00": "=cmd|' /C calc'!A0"}
    return a, run_with(tmp_path / "new", texts, labels={"clip_01": "sad"})


def compare(*words: object, **environment: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "200"} | environment)
    return runner.invoke(app, ["compare", *map(str, words)])


async def by_model(address: str, *words: object, **environment: str) -> Result:
    return await asyncio.to_thread(compare, *words, "--by", "model", MERRFLOW_LLAMA3_ADDRESS=address, **environment)


def verdicts(out: Path) -> int:
    ledger = Ledger.in_folder(out)
    found = len(ledger.verdicts())
    ledger.close()
    return found


async def test_a_model_judges_and_the_table_and_the_files_say_what_came_of_it(runs) -> None:
    async with serving(LikesB) as address:
        done = await by_model(address, *runs)
    assert done.exit_code == 0, done.output
    assert "clips only in A: 1 (only_a)" in done.output
    assert "100.0%" in done.output and "labels differ" in done.output
    folder = runs[1] / "compare/old"
    found = json.loads((folder / "compare.json").read_text())
    (model,) = found["judges"]
    assert found["clips"]["only_in_a"] == ["only_a"]
    assert (model["by"], model["all"]["b"], model["all"]["ties"]) == ("model", COUNT - 1, 1)
    assert model["all"]["p"] == 0.125
    assert model["labels"]["labels differ"]["b"] == 1
    with (folder / "compare.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["outcome"] for row in rows] == ["tie"] + ["b"] * (COUNT - 1)
    assert rows[0]["text_b"].startswith("'=")  # no spreadsheet runs it
    again = compare(*runs, "--report", "--json")
    assert json.loads(again.stdout) == found


async def test_a_model_that_prefers_a_place_is_said_to(runs) -> None:
    async with serving(LikesTheFirst) as address:
        done = await by_model(address, *runs)
    assert done.exit_code == 0
    assert "prefers a place, not a text" in done.output


async def test_a_service_that_is_away_or_never_answers_is_said_and_nothing_counts(runs) -> None:
    away = await by_model(f"127.0.0.1:{free_port()}", *runs, MERRFLOW_CONNECT_SECONDS="0.5")
    assert isinstance(away.exception, NotReady)
    async with serving(Declines) as address:
        done = await by_model(address, *runs)
    assert done.exit_code == 1
    assert f"{2 * COUNT} of {2 * COUNT} questions got no answer (NO_LABEL: {2 * COUNT})" in done.output
    assert "nobody has answered yet" in done.output
    assert verdicts(runs[1]) == 0


def test_texts_that_are_all_the_same_need_nobody(tmp_path: Path) -> None:
    a, b = (run_with(tmp_path / name, {"x": "the same"}) for name in ("a", "b"))
    for by in ("people", "model"):
        done = compare(a, b, "--by", by)  # neither a page nor a service
        assert (done.exit_code, "nobody is asked" in done.output) == (0, True), done.output
    assert "identical" in (b / "compare/a/compare.csv").read_text()


def test_coarse_texts_have_a_folder_of_their_own_and_to_chooses_another(runs, tmp_path: Path) -> None:
    assert compare(*runs, "--report", "--text", "coarse").exit_code == 0
    assert compare(*runs, "--report", "--to", tmp_path / "here").exit_code == 0
    assert (runs[1] / "compare/old-coarse/compare.json").is_file()
    assert (tmp_path / "here/compare.json").is_file()
    assert not (runs[1] / "compare/old").exists()


def test_a_sample_counts_its_own_answers_alone(runs) -> None:
    matching, ledger = matched(*runs)
    for pair in matching.pairs:
        said(Answers(ledger, matching.pairs), pair.id, Choice.B, Order.AB)
    ledger.close()
    found = json.loads(compare(*runs, "--report", "--json", "--sample", "2").stdout)
    assert found["clips"]["compared"] == found["judges"][0]["all"]["b"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("{a}", "{a}"), "are the same folder"),
        (("{a}", "{a}/../old"), "are the same folder"),
        (("{a}", "{top}"), "no run was ever made into this folder"),
        (("{top}/none", "{b}"), "no run was ever made into this folder"),
        (("{a}", "{b}", "--to", "{top}/mine"), "that merrflow compare did not write"),
        (("{a}", "{b}", "--to", "{a}/ledger.db"), "is no folder"),
        (("{a}", "{b}", "--host", "0.0.0.0"), "other machines could"),
    ],
)
def test_bad_input_is_a_sentence_and_changes_nothing(runs, tmp_path: Path, words, message) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/compare.json").write_text("[1]")
    names = {"a": runs[0], "b": runs[1], "top": tmp_path}
    done = compare(*(word.format(**names) for word in words))
    assert isinstance(done.exception, InputError), done.output
    assert message in str(done.exception) and "\n" not in str(done.exception)
    assert (tmp_path / "mine/compare.json").read_text() == "[1]"
    assert not (runs[1] / "compare").exists()
    assert verdicts(runs[1]) == 0

"""`merrflow export` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from merrflow.cli.export import export_run
from merrflow.core.errors import InputError
from merrflow.datasets.export.huggingface import parse_split
from tests.orchestrator.datasets.report.runs import record, run

app = typer.Typer()
app.command()(export_run)


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_it_ends_with_what_how_many_and_what_was_left_out(tmp_path: Path) -> None:
    run(tmp_path, [record("a"), record("b", "disgust")]).close()
    last = call("--out", tmp_path, "--format", "merr").splitlines()[-1]
    assert last == f"{tmp_path}/export/merr: 1 record as merr; left out: 1 (a label that MERR does not have)"


def test_json(tmp_path: Path) -> None:
    run(tmp_path, [record("a")]).close()
    said = json.loads(call("--out", tmp_path, "-f", "csv", "--to", tmp_path / "there", "--json"))
    assert said == {"format": "csv", "folder": f"{tmp_path}/there", "records": 1, "left_out": {}, "remarks": []}
    assert (tmp_path / "there" / "clips.csv").is_file()


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run"):
        call("--out", tmp_path, "--format", "csv")


def test_splits_are_read() -> None:
    assert parse_split("") == {}
    assert parse_split("validation=0.1, test=.2") == {"validation": 0.1, "test": 0.2}


@pytest.mark.parametrize(
    "text",
    ["test", "test=", "test=2", "test=0", "test=-1", "test=nan", "train=0.5", "a=0.5,b=0.5", "a=0.1,a=0.1", "a/b=0.1"],
)
def test_splits_that_make_no_sense(text: str) -> None:
    with pytest.raises(InputError, match="^split "):
        parse_split(text)

"""A witness that could judge no record is said once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from merrflow.cli.app import app
from merrflow.core.records import Record
from merrflow.core.spoken import Subtitle
from merrflow.datasets.outputs import write_outputs
from merrflow.stages.standing import stand
from merrflow.stages.witnesses.case import Case
from tests.orchestrator.datasets.report.runs import record, run

SILENT = Subtitle(None, "none", "", "no subtitle")


def judged(name: str, expression: dict[str, float]) -> Record:
    made = record(name)
    case = Case(made.label, SILENT, expression=expression)
    return replace(made, label=replace(made.label, standing=stand(case)))


@pytest.mark.parametrize(("shares", "said"), [([{}, {}], 1), ([{}, {"happy": 0.6}], 0)])
def test_once_if_it_judged_none(tmp_path: Path, shares: list[dict[str, float]], said: int) -> None:
    records = [judged(f"clip{place}", one) for place, one in enumerate(shares)]
    expected = "the witness expression could judge no label, and records go on without it: "
    found = write_outputs(run(tmp_path, records), tmp_path).remarks
    assert found == (f"{expected}no expression network looked at the face",) * said


def test_report_says_it_too(tmp_path: Path) -> None:
    run(tmp_path, [judged("clip", {})]).close()
    said = CliRunner().invoke(app, ["report", "--out", str(tmp_path)])
    assert said.exit_code == 0
    assert "the witness expression could judge no label" in said.stdout

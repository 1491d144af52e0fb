"""Reviews and audits by script: examples/clients/python/review.py."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from merrflow.datasets.review.verdicts import standing
from merrflow.store import Ledger
from tests.orchestrator.datasets.review.runs import reviewable
from tests.orchestrator.datasets.review.servers import Server, serving
from tests.paths import ROOT

SCRIPT, ANSWERS = ROOT / "examples/clients/python/review.py", ROOT / "examples/audit.csv"


def answer(server: Server, answers: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), server.address, "ann", str(answers)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def merrflow(*arguments: str) -> str:
    command = [sys.executable, "-c", "from merrflow.cli import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_answers_are_verdicts_and_what_does_not_fit_is_said(tmp_path: Path) -> None:
    ledger = reviewable(tmp_path)
    (tmp_path / "answers.csv").write_text("name,label\nclip_001,fear\nelsewhere,sad\n")
    (tmp_path / "wrong.csv").write_text("name,label\nclip_001,gleeful\n")
    with serving(tmp_path, "review") as server:
        done = answer(server, tmp_path / "answers.csv")
        assert (done.returncode, done.stdout) == (0, "1 of 3 by ann, 1 by anyone\n")
        assert "elsewhere: not among the 3 clips to look at" in done.stderr
        wrong = answer(server, tmp_path / "wrong.csv")
        assert wrong.returncode == 1 and "'gleeful' is not a label of this dataset" in wrong.stderr
    assert [(one.clip, one.said.label) for one in standing(ledger.verdicts())] == [("clip_001", "fear")]
    ledger.close()


@pytest.mark.slow
def test_an_audit_of_the_examples_is_on_the_card(tmp_path: Path) -> None:
    """The demo, a blind audit of it by script, and the dataset card that says what came of it."""
    out, clips = tmp_path / "out", ROOT / "examples/clips"
    shutil.copytree(clips, tmp_path / "clips")
    merrflow("run", str(tmp_path / "clips"), "--transcripts", str(clips / "transcripts.csv"), "--out", str(out),
             "--neutral-sample", "1")  # fmt: skip
    with serving(out, "audit", "--sample", "3", "--seed", "0") as server:
        assert answer(server, ANSWERS).stdout == "3 of 3 by ann, 3 by anyone\n"
    assert "3 judged, 0 rejected" in merrflow("audit", "--out", str(out), "--report")
    merrflow("export", "--out", str(out), "--format", "huggingface")
    card = (out / "export/huggingface/README.md").read_text()
    for line in (
        "gave 100.0 % of the records the same one (95 % interval 43.9 to 100.0 %",
        "| all | 100.0 % | 43.9 to 100.0 % | 3 |",
        "| label sad | 100.0 % | 20.7 to 100.0 % | 1 |",
        "| clue tone | 50.0 % | 9.5 to 90.5 % | 2 |",
    ):
        assert line in card
    ledger = Ledger.in_folder(out)
    assert standing(ledger.verdicts()) == []  # an audit changes no record
    ledger.close()

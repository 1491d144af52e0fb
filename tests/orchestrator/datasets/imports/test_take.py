"""What comes back from Label Studio and Argilla, in the ledger and in what is made of it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from threading import Thread
from unittest.mock import MagicMock
from uuid import UUID

import pytest
import typer
from typer.testing import CliRunner

from merrflow.cli.import_verdicts import import_verdicts
from merrflow.core.errors import InputError
from merrflow.core.records import Outcome
from merrflow.datasets.entries import entries
from merrflow.datasets.export.export import export
from merrflow.datasets.imports.take import take
from merrflow.datasets.review.verdicts import standing
from merrflow.store import UNDO, Ledger, VerdictRow
from tests.orchestrator.datasets.imports.exports import DIALECTS, EARLY, LATE, Given, argilla, full, minimal, table
from tests.orchestrator.datasets.review.runs import reviewable, say

ANN = "3f1c9f0e-0000-4000-8000-00000000000a"
app = typer.Typer()
app.command()(import_verdicts)


@pytest.fixture
def ledger(tmp_path: Path):
    ledger = reviewable(tmp_path)
    yield ledger
    ledger.close()


def given(ledger: Ledger, clip: str = "clip_000", **values) -> Given:
    sha256 = next(row.clip.sha256 for row in ledger.clips() if row.clip.name == clip)
    return Given(clip, sha256, **values)


def took(ledger: Ledger, tmp_path: Path, text: str, tool: str = "labelstudio", reviewers: tuple[str, ...] = ("1=ann",)):
    file = tmp_path / "export.file"
    file.write_bytes(text.encode())
    return take(ledger, tmp_path, tool, file, reviewers)


def said(ledger: Ledger) -> list[tuple[str, str, str, str | None]]:
    return [(one.clip, one.reviewer, one.said.label, one.said.text) for one in standing(ledger.verdicts())]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_people_said_is_the_records_and_once(ledger: Ledger, tmp_path: Path, dialect: str) -> None:
    text = 'She is "sad",\nI say; 你好'
    written = DIALECTS[dialect]([given(ledger, text=text), given(ledger, "clip_001", label="sad", who=2)])
    for added, known in ((2, 0), (0, 2)):
        found = took(ledger, tmp_path, written, reviewers=("1=ann", "2=ben@example.org"))
        assert (found.added, found.known, found.refused) == (added, known, ())
    assert said(ledger) == [("clip_000", "ann", "sad", text), ("clip_001", "ben@example.org", "sad", None)]
    first, second, third = entries(ledger)
    assert (first.record.label.label, first.record.label.source, first.fine_text) == ("sad", "human", text)
    assert "given by ann (in labelstudio)" in first.record.label.reason
    assert (second.record.label.source, second.outcome) == ("human", Outcome.DONE)
    assert third.record.label.source == "rules"


def test_all_dialects_of_one_project_are_the_same_answers(ledger: Ledger, tmp_path: Path) -> None:
    answers = [given(ledger, text="Tears.")]
    assert [took(ledger, tmp_path, write(answers)).added for write in DIALECTS.values()] == [1, 0, 0, 0]


def test_a_later_answer_wins_and_an_old_file_does_not(ledger: Ledger, tmp_path: Path) -> None:
    old, new = given(ledger, label="sad", at=EARLY), given(ledger, label="fear", at=LATE)
    assert took(ledger, tmp_path, full([new, old])).added == 2  # whatever their order in the file
    assert said(ledger) == [("clip_000", "ann", "fear", None)]
    assert took(ledger, tmp_path, full([old])).known == 1
    assert said(ledger) == [("clip_000", "ann", "fear", None)]
    back = replace(old, at="2026-01-03T10:00:00Z")
    assert took(ledger, tmp_path, full([back])).added == 1
    assert said(ledger) == [("clip_000", "ann", "sad", None)]


def test_what_was_said_or_undone_on_the_page_since_stays(ledger: Ledger, tmp_path: Path) -> None:
    written = full([given(ledger), given(ledger, "clip_001")])
    took(ledger, tmp_path, written)
    say(ledger, "clip_000", "ann", label="happy")
    row = ledger.verdicts()[1]
    ledger.say(VerdictRow(row.clip, row.sha256, "ann", UNDO, "{}", "key-undo", undoes=row.id))
    assert took(ledger, tmp_path, written).known == 2
    assert said(ledger) == [("clip_000", "ann", "happy", None)]


def test_a_text_that_nobody_changed_is_nobodys(ledger: Ledger, tmp_path: Path) -> None:
    """Also if the run has another by now."""
    text = "A text of an earlier run."
    took(ledger, tmp_path, full([given(ledger, label="happy", text=text + "  ", shown=text)]))
    assert said(ledger) == [("clip_000", "ann", "happy", None)]
    bare = json.loads(full([given(ledger, "clip_001", text="The smile and the bright voice tell of joy.")]))
    del bare[0]["data"]["fine"]  # as exports of earlier versions
    took(ledger, tmp_path, json.dumps(bare))
    assert said(ledger)[1] == ("clip_001", "ann", "sad", None)


def test_good_items_go_in_and_bad_ones_are_listed_with_their_place(ledger: Ledger, tmp_path: Path) -> None:
    good = given(ledger, who={"id": 5, "email": "ann@example.org", "first_name": "", "last_name": ""})
    items = [
        good,
        replace(good, label="gleeful"),
        replace(good, clip="elsewhere"),
        replace(good, sha256="0" * 64),
        replace(good, cancelled=True, label=None),
        replace(good, label=None),
        replace(good, at="yesterday"),
        replace(good, text="x" * 10_001),
        replace(good, who=None),
        replace(good, who={"email": "a\x1b[31m"}),
    ]
    tasks = [*json.loads(full(items)), {"id": 9, "annotations": [], "data": {}}, {"annotations": [{}]}, 7, None]
    file = tmp_path / "project.json"
    file.write_text(json.dumps(tasks))
    result = CliRunner().invoke(app, ["labelstudio", str(file), "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "1 verdict added, 0 known already, 1 skipped, 1 without an answer, 11 not taken" in result.output
    for number, words in (
        (2, "'gleeful' is not a label of this dataset"),
        (3, "the run has no record of clip elsewhere"),
        (4, "clip clip_000 has other bytes than when it was exported"),
        (5, "was skipped by ann@example.org"),
        (6, "clip clip_000 has no label"),
        (7, "has a time that cannot be read: yesterday"),
        (8, "at most 10000"),
        (9, "does not say who annotated it"),
        (10, "a name has printable characters alone"),
        (12, "has no name; was it made by merrflow export?"),
        (13, "has no name"),
        (14, "has no name"),
    ):
        assert f"item {number}: " in result.stderr
        (line,) = [line for line in result.stderr.splitlines() if f"project.json, item {number}: " in line]
        assert words in line and "\x1b" not in line
    assert said(ledger) == [("clip_000", "ann@example.org", "sad", None)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_of_a_file_that_was_cut_the_whole_items_go_in(ledger: Ledger, tmp_path: Path, dialect: str) -> None:
    written = DIALECTS[dialect]([given(ledger), given(ledger, "clip_001"), given(ledger, "clip_002", text="Cut here")])
    found = took(ledger, tmp_path, written[: written.index("Cut here") + 3])
    assert found.added == 2
    (line,) = found.refused
    assert ("row 3" if dialect in ("CSV", "TSV") else "item 3") in line and "export it again" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"a,b\n1,2\n", "has no column name, sha256, annotator, emotion; it has a, b"),
        (b'{"id": 1}', "not a JSON list of items"),
        (b"\xff\xfe[", "not text in UTF-8"),
        (b"[" * 100_000, "item 1: the file ends in it"),
    ],
)
def test_files_that_are_none_are_said_in_a_line(ledger: Ledger, tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "f"
    file.write_bytes(content)
    result = CliRunner().invoke(app, ["labelstudio", str(file), "--out", str(tmp_path)])
    assert words in result.stderr + str(result.exception) and ledger.verdicts() == []


def test_a_file_that_is_not_there(ledger: Ledger, tmp_path: Path) -> None:
    for tool, path in (("labelstudio", tmp_path), ("argilla", tmp_path / "none"), ("excel", tmp_path)):
        with pytest.raises(InputError, match="cannot be read|there is no such tool"):
            take(ledger, tmp_path, tool, path)


def test_a_device_is_not_read_and_a_pipe_is(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a file nor a pipe"):
        take(ledger, tmp_path, "labelstudio", Path("/dev/zero"))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_text, args=(minimal([given(ledger)]),))
    writer.start()
    assert take(ledger, tmp_path, "labelstudio", pipe, ["ann"]).added == 1
    writer.join()


def test_numbers_get_their_names_from_the_user(ledger: Ledger, tmp_path: Path) -> None:
    written = minimal([given(ledger), given(ledger, who=7)])
    with pytest.raises(
        InputError, match="does not say who annotator 7 is; give the name of each, as --reviewer 7=NAME"
    ):
        took(ledger, tmp_path, written)
    assert ledger.verdicts() == []
    for wrong in (("1=",), ("1=a", "1=b"), ("a", "b"), ("1=" + "x" * 61,)):
        with pytest.raises(InputError, match="--reviewer"):
            took(ledger, tmp_path, written, reviewers=wrong)
    assert took(ledger, tmp_path, written, reviewers=("1=ann", "ben")).added == 2
    assert {one[1] for one in said(ledger)} == {"ann", "ben"}


def test_cells_in_which_label_studio_writes_json(ledger: Ledger, tmp_path: Path) -> None:
    """It does where a control holds several values."""
    one = given(ledger, label='["sad"]', text='{"text": ["Two", "lines"], "number": 2}')
    took(ledger, tmp_path, table([one, given(ledger, "clip_001", text="[sigh] That is all")]))
    assert said(ledger) == [
        ("clip_000", "ann", "sad", "Two\nlines"),
        ("clip_001", "ann", "sad", "[sigh] That is all"),
    ]
    assert "has 2 labels, not one" in took(ledger, tmp_path, table([replace(one, label='["sad", "fear"]')])).refused[0]


class TestArgilla:
    def record(self, ledger: Ledger, clip: str = "clip_000", **values):
        return {"clip": clip, "sha256": given(ledger, clip).sha256, **values}

    def test_each_persons_response_is_a_verdict_once(self, ledger: Ledger, tmp_path: Path) -> None:
        responses = {"label": [("sad", ANN), ("fear", "ben")], "description": [("Tears.", ANN), ("As it was", "ben")]}
        folder = tmp_path / "argilla"
        folder.mkdir()
        written = argilla([self.record(ledger, responses=responses, shown="As it was")])
        (folder / "records.json").write_text(written)
        for added in (2, 0):
            assert take(ledger, tmp_path, "argilla", folder, (f"{ANN}=ann", "ben=ben")).added == added
        assert said(ledger) == [("clip_000", "ann", "sad", "Tears."), ("clip_000", "ben", "fear", None)]
        changed = argilla([self.record(ledger, responses={"label": [("happy", ANN)]})])
        assert took(ledger, tmp_path, changed, "argilla", ("ann",)).added == 1
        assert ("clip_000", "ann", "happy", None) in said(ledger)

    def test_what_is_no_answer_is_listed(self, ledger: Ledger, tmp_path: Path) -> None:
        bad = json.loads(argilla([self.record(ledger, responses={"label": [("sad", ANN)]})] * 3))
        bad[0]["responses"]["label"][0]["value"] = ["sad"]
        bad[1]["responses"] = []
        bad[2]["responses"]["label"][0]["status"] = "discarded"
        records = [
            self.record(ledger, responses={"label": [("sad", ANN)]}),
            self.record(ledger),
            self.record(ledger, status="pending", responses={"label": [("sad", ANN)]}),
            self.record(ledger, responses={"description": [("Tears.", ANN)]}),
            self.record(ledger, responses={"label": [("gleeful", ANN)]}),
        ]
        found = took(
            ledger, tmp_path, json.dumps([*json.loads(argilla(records)), *bad, "x"]), "argilla", (f"{ANN}=ann",)
        )
        assert (found.added, found.unasked, len(found.skipped), len(found.refused)) == (1, 1, 2, 5)
        assert "item 3: clip clip_000 has drafts alone" in found.skipped[0]
        assert "item 4: clip clip_000 has no label of" in found.refused[0]

    def test_argillas_own_package_writes_what_is_read(self, ledger: Ledger, tmp_path: Path) -> None:
        """Out by merrflow export, in and out by argilla without its server, and back."""
        sdk = pytest.importorskip("argilla", reason="argilla is not installed (pip install argilla)")
        from argilla.records._io import JsonIO

        sdk.Argilla._default_client = MagicMock()
        done = export(ledger, tmp_path, "argilla", options={"pixels": "0"})
        records = JsonIO._records_from_json(done.folder / "records.json")
        for question, value in (("label", "sad"), ("description", "Tears.")):
            records[0].responses.add(sdk.Response(question, value, user_id=UUID(ANN), status="submitted"))
        records[0]._model.status = "completed"  # which is the server's to say
        JsonIO.to_json(records, tmp_path / "back.json")
        found = take(ledger, tmp_path, "argilla", tmp_path / "back.json", (f"{ANN}=ann",))
        assert (found.added, found.unasked, found.skipped, found.refused) == (1, 2, (), ())
        assert said(ledger) == [("clip_000", "ann", "sad", "Tears.")]

"""A run against annotations: from a real ledger, and from records.jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from merrflow.cli.evaluate import read_run
from merrflow.core.errors import InputError
from merrflow.core.labels import Label
from merrflow.core.records import Outcome
from merrflow.datasets.evaluation.compare import compare
from merrflow.datasets.evaluation.measures import Share
from merrflow.datasets.evaluation.runs import FinishedRun
from merrflow.formats.merr import MerrAnnotation
from merrflow.store import Ledger
from tests.orchestrator.datasets.evaluation.annotations import one
from tests.orchestrator.datasets.export.passes import write_records
from tests.orchestrator.datasets.report.runs import record, run

FILE = {name: one(name) for name in ("clip_a", "clip_b", "clip_n", "clip_z")}


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Two clips with a record, one of them given its label; one neutral that was skipped; one of no file."""
    out = tmp_path / "out"
    measured = replace(record("clip_a"), measurable=("AU06", "AU12"))
    given = Label("sad", "table", ("AU06",), ("raised cheeks",), "default 2", "", ruled="happy")
    ledger = run(
        out,
        [
            measured,
            replace(record("clip_b"), label=given),
            record("clip_x"),
        ],
        [("clip_n", Outcome.SKIPPED, "neutral")],
    )
    ledger.close()
    yield out


def test_a_run_is_compared_clip_by_clip(out: Path) -> None:
    report = compare(read_run(out), FILE, (), "f.json")
    clips = report.clips
    assert (clips.matched, clips.run_only, clips.file_only) == (2, 1, 1)
    assert clips.no_record == {"skipped": 1}
    assert report.peak is not None and report.peak.within[0] == Share(2, 2)
    assert report.labels is not None and report.labels.accuracy == Share(1, 2)
    # what was given is told, and the rules are measured beside it
    assert report.label_sources == {"rules": 1, "table": 1}
    assert report.ruled_labels is not None and report.ruled_labels.accuracy == Share(2, 2)
    assert report.engines == {"mediapipe face_landmarker": 2}
    lists = report.lists
    assert lists is not None and lists.all is not None and lists.same_label is not None
    assert lists.all.same_set == Share(1, 2)
    assert lists.same_label.same_set == Share(1, 1)
    assert lists.same_phrase == Share(1, 1)
    assert (report.texts["run fine"].texts, report.texts_of_all["run fine"].texts) == (2, 3)
    assert report.texts_of_all["file fine"].texts == 4


def test_what_the_engine_measures_is_what_the_record_says(out: Path) -> None:
    assert read_run(out).measured == {"clip_a": frozenset({"AU06", "AU12"})}


def test_without_a_ledger_the_records_are_read(out: Path, tmp_path: Path) -> None:
    ledger = Ledger.in_folder(out)
    copy = tmp_path / "copy"
    write_records(ledger, copy / "records.jsonl")
    ledger.close()
    from_lines, from_ledger = read_run(copy), read_run(out)
    assert from_lines.clips == from_ledger.clips
    assert (from_lines.measured, from_lines.without_record) == (from_ledger.measured, {})


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: not a record of merrflow"),
        ("[]", "line 2: not a record of merrflow"),
        ("[" * 100_000, "line 2: not a record of merrflow"),
        ('{"name": "x", "outcome": "done", "reason": ""}', "line 2: not a record of merrflow: path"),
        (None, "line 2: clip 'clip_a' occurs twice"),
    ],
)
def test_a_wrong_records_file_is_named(out: Path, tmp_path: Path, line: str | None, told: str) -> None:
    ledger = Ledger.in_folder(out)
    copy = tmp_path / "copy"
    write_records(ledger, copy / "records.jsonl")
    ledger.close()
    first = (copy / "records.jsonl").read_text().splitlines()[0]
    (copy / "records.jsonl").write_text(f"{first}\n{first if line is None else line}\n")
    with pytest.raises(InputError, match=f"records.jsonl, {told}"):
        read_run(copy)


def test_records_that_are_no_text_are_said(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(InputError, match="records.jsonl, line 1: not a record of merrflow"):
        read_run(tmp_path)


def test_a_phrase_too_few_is_said(out: Path, tmp_path: Path) -> None:
    ledger = Ledger.in_folder(out)
    path = tmp_path / "copy" / "records.jsonl"
    write_records(ledger, path)
    ledger.close()
    first = json.loads(path.read_text().splitlines()[0])
    first["label"]["expressions"].pop()
    path.write_text(json.dumps(first))
    with pytest.raises(InputError, match="line 1: not a record of merrflow .* expressions for "):
        read_run(path.parent)


def test_no_common_clip_shows_the_names_of_both_sides(out: Path) -> None:
    other = {f"sample_{i}": one(f"sample_{i}") for i in range(5)}
    with pytest.raises(InputError) as error:
        compare(read_run(out), other, (), "f.json")
    assert "names in the run: 'clip_a', 'clip_b', 'clip_x'; names in the file: 'sample_0'" in str(error.value)
    assert "and 2 more" in str(error.value)
    with pytest.raises(InputError, match="none of the 1 clips .* has a record .*1 skipped"):
        compare(read_run(out), {"clip_n": one("clip_n")}, (), "f.json")


def test_an_unknown_label_of_the_file_is_named_unless_the_run_has_it(out: Path) -> None:
    found = read_run(out)
    strange = FILE | {"clip_a": one("clip_a", "bored")}
    with pytest.raises(InputError, match=r"f\.json: clip 'clip_a': unknown label 'bored'"):
        compare(found, strange, (), "f.json")
    bored = replace(found.clips["clip_a"], annotation=replace(found.clips["clip_a"].annotation, label="bored"))
    own = FinishedRun(dict(found.clips) | {"clip_a": bored}, {})
    report = compare(own, strange, (), "f.json")
    assert report.labels is not None and report.labels.accuracy == Share(1, 2)


def test_a_file_of_labels_alone_measures_labels_alone(out: Path) -> None:
    bare = {
        name: replace(one(name), **dict.fromkeys(("peak_index", "peak_units", "units", "phrases", "fine")))
        for name in FILE
    }
    report = compare(read_run(out), bare, (), "f.txt")
    assert (report.peak, report.units, report.lists) == (None, None, None)
    assert report.labels is not None
    assert list(report.texts) == ["run fine", "run coarse"]


def test_the_order_of_the_clips_does_not_matter(out: Path) -> None:
    found = read_run(out)
    turned = FinishedRun(dict(reversed(found.clips.items())), found.without_record)
    assert compare(turned, dict(reversed(FILE.items())), (), "f") == compare(found, FILE, (), "f")


def test_a_file_of_sentences_has_nothing_to_measure(out: Path) -> None:
    said = {name: MerrAnnotation(name, sentence="Hello") for name in FILE}
    with pytest.raises(InputError, match=r"f\.csv: holds nothing to measure a run against"):
        compare(read_run(out), said, (), "f.csv")

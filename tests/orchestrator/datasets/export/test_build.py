"""Exports as a whole: what comes in, that it is the same each time, and that nothing is half-written."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from merrflow.core.errors import InputError
from merrflow.core.measurements import PerceptualHashes
from merrflow.core.records import Outcome
from merrflow.datasets.curation.base import Drop, Step
from merrflow.datasets.curation.config import packaged
from merrflow.datasets.curation.records import records_digest
from merrflow.datasets.curation.result import write_curation
from merrflow.datasets.entries import Entry
from merrflow.datasets.export import export as build
from merrflow.datasets.export.everything import write_all
from merrflow.datasets.export.export import export
from merrflow.datasets.export.jsonl import RecordLines
from merrflow.datasets.export.merr import MerrFiles
from merrflow.datasets.export.registry import BUILT_IN
from merrflow.store import Ledger
from tests.orchestrator.datasets.export.passes import write_dropped, write_merr, write_records
from tests.orchestrator.datasets.report.runs import many, record, run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def decide(ledger: Ledger, out: Path, kept: str, dropped: str = "", *, stale: bool = False) -> None:
    """Lets `merrflow curate` have decided this, one letter per clip."""
    drops = tuple(Drop(name, "quality", "small") for name in dropped)
    step = Step("quality", len(kept) + len(drops), len(drops), 0, {}, drops)
    write_curation(out, packaged(), "" if stale else records_digest(ledger), kept, [step])


@pytest.mark.parametrize("format", BUILT_IN)
def test_same_records_same_bytes_in_any_order(tmp_path: Path, format: str) -> None:
    records = many(30)
    found = []
    for seed in range(2):
        random.Random(seed).shuffle(records)
        out = tmp_path / str(seed) / "run"
        ledger = run(out, records)
        folder = export(ledger, out, format).folder
        found.append(contents(folder))
        export(ledger, out, format)  # over itself
        assert contents(folder) == found[-1]
    assert found[0] == found[1]


@pytest.mark.parametrize("format", BUILT_IN)
def test_only_curated_clips_are_exported(tmp_path: Path, format: str) -> None:
    ledger = run(tmp_path, [record("a"), record("b"), record("c")])
    decide(ledger, tmp_path, "b", "ac")
    done = export(ledger, tmp_path, format)
    assert done.records == 1
    assert done.left_out == {"not kept by merrflow curate": 2}
    assert export(ledger, tmp_path, format, everything=True).records == 3


def test_stale_curation_is_refused(tmp_path: Path) -> None:
    ledger = run(tmp_path, [record("a")])
    decide(ledger, tmp_path, "a", stale=True)
    with pytest.raises(InputError, match=r"merrflow curate again, or export everything with --all"):
        export(ledger, tmp_path, "csv")
    assert export(ledger, tmp_path, "csv", everything=True).records == 1


def test_a_record_whose_reasoning_failed_is_exported_or_counted(tmp_path: Path) -> None:
    ledger = run(tmp_path, [record("a", reasoning=None)], outcome=Outcome.FAILED, reason="no fine-grained text")
    assert export(ledger, tmp_path, "csv").records == 1
    with pytest.raises(InputError, match="left out: 1 no fine-grained description"):
        export(ledger, tmp_path, "sharegpt")


def test_nothing_to_export_is_said_and_the_old_export_stays(tmp_path: Path) -> None:
    ledger = run(tmp_path, [record("a"), record("b")])
    done = export(ledger, tmp_path, "csv")
    before = contents(done.folder)
    decide(ledger, tmp_path, "", "ab")
    with pytest.raises(InputError, match="left out: 2 not kept by merrflow curate"):
        export(ledger, tmp_path, "csv")
    assert contents(done.folder) == before
    with pytest.raises(InputError, match="no clip has a record"):
        export(run(tmp_path / "new", dropped=[("x", Outcome.SKIPPED, "no face")]), tmp_path / "new", "csv")


@pytest.mark.parametrize("format", BUILT_IN)
def test_an_error_on_the_way_leaves_the_old_export(
    tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = run(tmp_path, many(5))
    folder = export(ledger, tmp_path, format).folder
    before = contents(folder)

    def break_off(*args):
        yield from list(entries(*args))[:3]
        raise RuntimeError("disk on fire")

    entries = build.entries
    monkeypatch.setattr(build, "entries", break_off)
    with pytest.raises(RuntimeError):
        export(ledger, tmp_path, format)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir() if not path.name.endswith(".lock")] == [format]


def test_the_runs_own_files_are_not_replaced(tmp_path: Path) -> None:
    ledger = run(tmp_path, [record("a")])
    write_merr(ledger, tmp_path / "merr")
    for place in (tmp_path, tmp_path / "merr", tmp_path / "peaks", tmp_path / "ledger.db"):
        with pytest.raises(InputError, match="not written by merrflow export.*choose another folder$"):
            export(ledger, tmp_path, "merr", place)
    assert (tmp_path / "peaks" / "a.jpg").exists()


def test_splits_are_for_parquet_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="huggingface"):
        export(run(tmp_path, [record("a")]), tmp_path, "merr", options={"split": {"test": 0.1}})


class TestEverything:
    def test_one_pass_writes_what_many_wrote(self, tmp_path: Path) -> None:
        records = [*many(7), record("refused", reasoning=None, missing={"reasoning": "declined"})]
        ledger = run(tmp_path, records, [("none", Outcome.SKIPPED, "no face"), ("open", None, "")])
        written = write_all(ledger, tmp_path / "one")
        many_passes = tmp_path / "many"
        assert write_merr(ledger, many_passes / "merr") == (written.coarse, written.fine) == (8, 7)
        assert write_records(ledger, many_passes / "records.jsonl") == 8
        assert write_dropped(ledger, many_passes / "dropped.jsonl") == written.dropped == 3
        assert contents(tmp_path / "one") == contents(many_passes)
        assert written.labels == {"happy": 4, "sad": 2, "neutral": 2}

    def test_records_are_parsed_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ledger = run(tmp_path, many(5))
        reads = []
        records = type(ledger).records
        monkeypatch.setattr(type(ledger), "records", lambda self: reads.append(1) or records(self))
        write_all(ledger, tmp_path)
        assert len(reads) == 1

    def test_long_rows_of_numbers_are_not_in_records(self, tmp_path: Path) -> None:
        from dataclasses import replace

        one = record("a")
        one = replace(one, probe=replace(one.probe, voice_energy=(1.0,), likeness=PerceptualHashes(("ff",), ())))
        write_records(run(tmp_path, [one]), tmp_path / "records.jsonl")
        values = json.loads((tmp_path / "records.jsonl").read_text())
        assert "curves" not in values
        assert set(values["probe"]) == set(vars(one.probe)) - {"voice_energy", "likeness"}
        assert list(values)[:3] == ["name", "outcome", "reason"]

    def test_text_that_no_file_can_hold_is_replaced(self, tmp_path: Path) -> None:
        evil = Entry(record("a", coarse='\ud800 "\n\u2028\x00'), Outcome.DONE, "why \udfff")
        with RecordLines(tmp_path / "records.jsonl") as lines, MerrFiles(tmp_path) as merr:
            lines.add(evil)
            merr.add(evil)
        (line,) = (tmp_path / "records.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        assert json.loads(line)["coarse"] == '\ufffd "\n\u2028\x00'
        assert json.loads(line)["reason"] == "why \ufffd"
        data = json.loads((tmp_path / "MERR_coarse_grained.json").read_text(encoding="utf-8"))
        assert data["a"]["caption"] == '\ufffd "\n\u2028\x00'

    def test_an_error_leaves_every_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from merrflow.datasets.export import everything

        ledger = run(tmp_path / "run", many(5))
        write_all(ledger, tmp_path / "out")
        before = contents(tmp_path / "out")

        def break_off(ledger):
            yield from list(entries(ledger))[:3]
            raise RuntimeError

        entries = everything.entries
        monkeypatch.setattr(everything, "entries", break_off)
        with pytest.raises(RuntimeError):
            write_all(ledger, tmp_path / "out")
        assert contents(tmp_path / "out") == before

    def test_no_records_make_empty_files(self, tmp_path: Path) -> None:
        write_all(run(tmp_path), tmp_path)
        assert json.loads((tmp_path / "merr" / "MERR_coarse_grained.json").read_text()) == {}
        assert (tmp_path / "records.jsonl").read_text() == ""

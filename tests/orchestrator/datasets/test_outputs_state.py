"""Outputs are written again only where something is new: in the ledger, in the files, or in what writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from merrflow.core.inputs import Found
from merrflow.core.records import Outcome
from merrflow.datasets import outputs
from merrflow.datasets import outputs_state as stamp
from merrflow.datasets.outputs import Summary, write_outputs
from merrflow.store import Ledger, StageRow
from tests.orchestrator.datasets.report.runs import many, run


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every pass over the records, in which all files are written."""
    seen: list[Path] = []
    whole = outputs.write_all

    def counting(ledger: Ledger, out: Path, **options: object) -> object:
        seen.append(out)
        return whole(ledger, out, **options)

    monkeypatch.setattr(outputs, "write_all", counting)
    return seen


def _again(ledger: Ledger, out: Path) -> Summary:
    return write_outputs(ledger, out, unless_current=True)


def test_nothing_new_is_not_written_again_and_summed_up_the_same(tmp_path: Path, passes: list[Path]) -> None:
    out = tmp_path / "out"
    ledger = run(out, many(4), [("lost", Outcome.FAILED, "no such file"), ("open", None, "")])
    first = _again(ledger, out)
    assert len(passes) == 1 and first.coarse == 4 and first.labels == {"happy": 2, "sad": 1, "neutral": 1}
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert _again(ledger, out) == first
    assert len(passes) == 1
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert write_outputs(ledger, out) == first  # `merrflow report` asks for them whatever there is
    assert len(passes) == 2


@pytest.mark.parametrize("file", stamp.FILES)
def test_a_file_that_was_touched_is_written_again(tmp_path: Path, passes: list[Path], file: str) -> None:
    out = tmp_path / "out"
    ledger = run(out, many(2))
    _again(ledger, out)
    whole = (out / file).read_bytes()
    (out / file).unlink()
    _again(ledger, out)
    (out / file).write_bytes(b"cut")
    _again(ledger, out)
    assert len(passes) == 3 and (out / file).read_bytes() == whole


@pytest.mark.parametrize("change", ["outcome", "reason", "record", "clip", "sentence", "path"])
def test_a_change_in_the_ledger_is_written_out(tmp_path: Path, passes: list[Path], change: str) -> None:
    out = tmp_path / "out"
    ledger = run(out, many(2), [("other", Outcome.SKIPPED, "no face")])
    _again(ledger, out)
    old = ledger.state()
    record = next(row for name, row in ledger.records() if name == "clip_00000")
    if change == "outcome":
        ledger.finish_clip("other", "print", StageRow(Outcome.FAILED, "no face", b"", 0.1))
    elif change == "reason":
        ledger.finish_clip("other", "print", StageRow(Outcome.SKIPPED, "too small a face", b"", 0.1))
    elif change == "record":  # the same outcome under the same fingerprint, as after a lost picture
        ledger.finish_clip("clip_00000", "print", record)
    elif change == "clip":
        ledger.register([Found(Path("/data/new.mp4"))], {Path("/data/new.mp4"): "new"})
    elif change == "sentence":
        path = Path("/data/other.mp4")
        ledger.register([Found(path, sentence="Stop it.")], {path: "other"})
    else:
        (tmp_path / "other.mp4").write_bytes(b"a")
        path, moved = tmp_path / "other.mp4", tmp_path / "moved.mp4"
        ledger.register([Found(path)], {path: "here"})
        _again(ledger, out)
        old = ledger.state()
        os.rename(path, moved)
        ledger.follow_moved([Found(moved)])
    assert ledger.state() != old
    count = len(passes)
    _again(ledger, out)
    assert len(passes) == count + 1


def test_an_upgrade_writes_all_again(tmp_path: Path, passes: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    ledger = run(out, many(2))
    _again(ledger, out)
    monkeypatch.setattr(stamp, "_code", lambda: "another")
    _again(ledger, out)
    assert len(passes) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b'{"made_of": [], "files": {}, "written": {}}', b"\xff\x00"])
def test_a_damaged_stamp_is_no_stamp(tmp_path: Path, passes: list[Path], damage: bytes) -> None:
    out = tmp_path / "out"
    ledger = run(out, many(1))
    _again(ledger, out)
    (out / stamp.NAME).write_bytes(damage)
    _again(ledger, out)
    assert len(passes) == 2


def test_registering_the_same_clips_writes_nothing(tmp_path: Path) -> None:
    clips = [tmp_path / f"{name}.mp4" for name in "abc"]
    for clip in clips:
        clip.write_bytes(clip.name.encode())
    names = {clip: clip.stem for clip in clips}
    ledger = Ledger.in_folder(tmp_path)
    first = ledger.register([Found(clip) for clip in clips], names)
    wrote: list[list[dict]] = []
    whole = ledger._upsert
    ledger._upsert = lambda db, table, rows, *rest: wrote.append(rows) or whole(db, table, rows, *rest)
    assert ledger.register([Found(clip) for clip in clips], names) == first
    assert wrote == []
    again = ledger.register([Found(clips[0]), Found(clips[1], sentence="Hello.")], names)
    assert [[row["name"] for row in rows] for rows in wrote] == [["b"]]
    assert [clip.sentence for clip in again] == [None, "Hello."]
    ledger.close()

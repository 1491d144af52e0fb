"""Pictures of peak frames: checked where they are used, and made again from the clip, by runs and by readers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from merrflow.core.measurements import ShownFrame
from merrflow.datasets.curation.config import packaged
from merrflow.datasets.curation.curate import curate
from merrflow.datasets.entries import entries
from merrflow.datasets.export.export import export
from merrflow.datasets.outputs import write_outputs
from merrflow.datasets.outputs_state import NAME as STAMP
from merrflow.datasets.pictures import Pictures, jpeg_size
from merrflow.stages.peak_frame import read_picture
from merrflow.store import Ledger, existing_ledger
from tests.faults.surroundings import done_rows
from tests.orchestrator.datasets.report.runs import many, run
from tests.orchestrator.fakes import calls, fake_services, make_video
from tests.orchestrator.pipeline.test_pipeline import annotate


def other_size(picture: bytes) -> bytes:
    return cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "gone": lambda picture: None,
    "empty": lambda picture: b"",
    "one byte": lambda picture: picture[:1],
    "cut in its head": lambda picture: picture[:20],
    "cut at its end": lambda picture: picture[:-7],
    "zeros": lambda picture: bytes(len(picture)),
    "no picture": lambda picture: b"<html>" * 200,
    "of another size": other_size,
}


def damage(path: Path, how: str) -> bytes:
    """Damages a file; returns what was in it."""
    whole = path.read_bytes()
    path.unlink()
    left = DAMAGES[how](whole)
    if left is not None:
        path.write_bytes(left)
    return whole


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of two clips, `clips/`, in `out/`."""
    folder = tmp_path_factory.mktemp("finished")
    for number, name in enumerate("ab"):
        make_video(folder / f"clips/{name}.mp4", "red", seed=number)

    async def first_run() -> None:
        async with fake_services() as addresses:
            await annotate([folder / "clips"], folder / "out", addresses)

    asyncio.run(first_run())
    return folder


@pytest.mark.parametrize("how", DAMAGES)
async def test_a_run_over_finished_clips_makes_a_damaged_picture_again_and_nothing_else(
    finished: Path, how: str
) -> None:
    out = finished / "out"
    before, report = done_rows(out), (out / "report.html").read_bytes()
    whole = damage(out / "peaks/a.jpg", how)
    other = (out / "peaks/b.jpg").stat().st_mtime_ns
    calls.clear()
    async with fake_services() as addresses:
        summary = await annotate([finished / "clips"], out, addresses)
    assert (out / "peaks/a.jpg").read_bytes() == whole
    assert (summary.worked, +calls, done_rows(out)) == (0, {}, before)
    assert (out / "peaks/b.jpg").stat().st_mtime_ns == other
    assert (out / "report.html").read_bytes() == report


@pytest.mark.parametrize("how", ["gone", "empty", "cut at its end", "of another size"])
@pytest.mark.parametrize("reader", ["report", "huggingface", "sharegpt", "curate"])
def test_what_reads_a_damaged_picture_makes_it_again(finished: Path, how: str, reader: str, tmp_path: Path) -> None:
    out = finished / "out"
    whole = damage(out / "peaks/a.jpg", how)
    ledger = existing_ledger(out)
    if reader == "report":
        write_outputs(ledger, out)
        assert (out / "report.html").read_text().count("data:image/jpeg;base64,") == 2
    elif reader == "curate":
        quality = packaged().quality.model_copy(update={"sharpness": 1.0})
        config = packaged().model_copy(update={"quality": quality, "order": ("quality",)})
        curate(out, config, dry_run=True)
    else:
        done = export(ledger, out, reader, tmp_path / "to")
        assert not any("without a picture" in remark for remark in done.remarks)
    ledger.close()
    assert (out / "peaks/a.jpg").read_bytes() == whole


def test_a_picture_of_a_frame_near_the_peak_is_made_again_of_that_frame(finished: Path, tmp_path: Path) -> None:
    ledger = existing_ledger(finished / "out")
    one = next(entries(ledger)).record
    ledger.close()
    other = ShownFrame(one.peak.index - 5, one.peak.timestamp - 0.2, (0.0, 0.0, 9.0, 9.0), "it says more")
    pictures = Pictures(tmp_path)
    assert pictures.mend(replace(one, shown=other)) == ""
    assert (tmp_path / f"{one.name}.jpg").read_bytes() == read_picture(Path(one.path), other.index)
    assert read_picture(Path(one.path), other.index) != read_picture(Path(one.path), one.peak.index)


def test_a_clip_that_is_another_now_gives_no_picture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The picture of other bytes would be beside a record of the first ones."""
    out = tmp_path / "out"
    ledger = run(out, many(3))
    (entry, *_) = entries(ledger)
    clip = make_video(tmp_path / "clip.mp4", "red")
    with ledger._engine.begin() as db:
        db.exec_driver_sql(f"UPDATE clips SET path = '{clip}' WHERE name = '{entry.record.name}'")
    picture = out / f"peaks/{entry.record.name}.jpg"
    damage(picture, "cut at its end")
    cut = picture.read_bytes()
    assert "other bytes" in Pictures(out / "peaks").mend(next(entries(ledger)).record)
    assert picture.read_bytes() == cut
    write_outputs(ledger, out)
    assert "1 pictures of peak frames are missing" in caplog.text and entry.record.name in caplog.text
    assert not (out / STAMP).exists(), "the next run must try again"
    assert (out / "report.html").read_text().count("data:image/jpeg;base64,") == 2


def test_a_whole_picture_of_another_size_stays_if_its_clip_is_gone(tmp_path: Path) -> None:
    """The frames of a few clips change their size, and records do not say so."""
    ledger = run(tmp_path, many(1), size=(64, 36))
    (entry,) = entries(ledger)
    assert Pictures(tmp_path / "peaks").of(entry.record) == tmp_path / "peaks/clip_00000.jpg"


def test_finished_pictures_cost_one_look_at_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger: Ledger = run(tmp_path, many(20))
    write_outputs(ledger, tmp_path, unless_current=True)
    opened: list[object] = []
    monkeypatch.setattr(Path, "open", lambda self, *args: opened.append(self))
    looks: list[object] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looks.append(path) or scandir(path))
    pictures = Pictures(tmp_path / "peaks")
    assert pictures.lost(ledger.described()) == set()
    assert pictures.state() == pictures.state()
    assert len(looks) == 3 and not opened


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xd8",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe0\x00\x00" * 99 + b"\xff\xd9",
        b"\xff\xd8\xff\xc0",
    ],
)
def test_what_is_no_picture_has_no_size(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    assert jpeg_size(tmp_path / "a.jpg") is None


def test_the_size_is_read_past_other_segments(tmp_path: Path) -> None:
    """Such as Exif with a small picture of its own, which has a size too."""
    whole = cv2.imencode(".jpg", np.zeros((30, 50, 3), np.uint8))[1].tobytes()
    small = other_size(b"")
    exif = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    (tmp_path / "a.jpg").write_bytes(whole[:2] + exif + whole[2:])
    assert jpeg_size(tmp_path / "a.jpg") == (50, 30)

"""A disk that is full, or lets itself only be read, in the middle of a run."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from merrflow.core.errors import OutputsGone
from merrflow.datasets.outputs import Summary
from merrflow.flow.run import annotate_request
from merrflow.pipeline.request import Request
from merrflow.pipeline.session import Session
from merrflow.store.database_retries import LedgerGone
from tests.faults.processes_checks import assert_whole, outcomes
from tests.faults.surroundings import assert_kept, done_rows, remount, small_disk
from tests.orchestrator.fakes import calls, fake_services

NAMES = [f"c{number}" for number in range(6)]


pytestmark = pytest.mark.usefixtures("no_prefect")


async def annotate(clips: Path, out: Path, on_clip: Callable[[int], None] = lambda count: None) -> Summary:
    """on_clip: told how many clips are done, after each."""
    done: list[str] = []

    def on_start(session: Session) -> None:
        def note(name: str, outcome: object) -> None:
            done.append(name)
            on_clip(len(done))

        session.clip_finished.connect(note)

    async with fake_services() as addresses:
        values = {"label_scores": "none", "clips_at_once": 1} | addresses
        return await annotate_request(Request((str(clips),), str(out), overrides=values), on_start=on_start)


def fill(folder: Path, left: int = 0) -> Path:
    """Fills the disk, but for `left` bytes, by a file."""
    filler = folder / "filler"
    free = os.statvfs(folder)
    with filler.open("wb", buffering=0) as file:
        try:
            file.write(b"\1" * max(free.f_bavail * free.f_frsize - left, 0))
            if not left:
                while file.write(b"\1"):
                    pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return filler


async def finishes(clips: Path, out: Path) -> None:
    rows = done_rows(out)
    summary = await annotate(clips, out)
    assert summary.outcomes == {"done": len(NAMES)}
    assert_kept(rows, done_rows(out))
    made = {(clip, stage) for clip, stage, _ in rows}
    for stage, service in (("action_units", "openface-au"), ("tone", "qwen-audio"), ("reasoning", "llama3")):
        assert calls[service] == sum((name, stage) not in made for name in NAMES), f"{stage} was done again"
    assert_whole(out, NAMES)


@pytest.mark.parametrize("left", [0, 20_000])
async def test_a_disk_that_fills_up_stops_the_run_in_a_sentence_and_the_next_one_finishes(tmp_path, clips, left):
    with small_disk(tmp_path / "disk", 20_000) as disk:
        out = disk / "out"

        def on_clip(count: int) -> None:
            if count == 2:
                fill(disk, left)

        with pytest.raises((LedgerGone, OutputsGone), match=r"full|No space left"):
            await annotate(clips, out, on_clip)
        assert 2 <= len({clip for clip, stage, _ in done_rows(out) if stage == "record"}) < len(NAMES)
        (disk / "filler").unlink()
        await finishes(clips, out)


async def test_a_full_disk_for_pictures_alone_stops_the_run(tmp_path, clips):
    out = tmp_path / "out"
    with small_disk(out / "peaks", 64) as disk:

        def on_clip(count: int) -> None:
            if count == 2:
                fill(disk)

        with pytest.raises(OutputsGone, match="No space left"):
            await annotate(clips, out, on_clip)
        assert "failed" not in {outcome for outcome, _, _ in outcomes(out).values()}
        (disk / "filler").unlink()
        await finishes(clips, out)


async def test_a_disk_that_is_full_at_the_reports_time_leaves_the_old_files_whole(tmp_path, clips):
    out = tmp_path / "out"
    await annotate(clips, out)
    before = {name: (out / "merr" / name).read_bytes() for name in os.listdir(out / "merr")}
    os.rename(out / "merr", tmp_path / "kept")
    with small_disk(out / "merr", 64) as disk:
        for name, data in before.items():
            (disk / name).write_bytes(data)
        fill(disk)
        with pytest.raises(OutputsGone, match=r"cannot be written \(No space left on device"):
            await annotate(clips, out)
        assert {name: (disk / name).read_bytes() for name in before} == before
        assert not list(disk.glob(".*.part"))
        (disk / "filler").unlink()
        await annotate(clips, out)
        assert not +calls
        assert_whole(out, NAMES)


@pytest.mark.parametrize("folder", ["peaks", "merr"])
async def test_a_folder_that_turns_read_only_in_mid_run(tmp_path, clips, folder):
    out = tmp_path / "out"
    with small_disk(out / folder, 1024) as disk:

        def on_clip(count: int) -> None:
            if count == 2:
                remount(disk, "ro")

        with pytest.raises(OutputsGone, match="Read-only file system"):
            await annotate(clips, out, on_clip)
        remount(disk, "rw")
        await finishes(clips, out)

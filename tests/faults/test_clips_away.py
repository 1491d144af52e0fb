"""Clips whose files vanish, fail or are replaced while a run works on them: no clip is blamed, no record is wrong."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import av.error
import pytest

from merrflow.core.errors import ClipsAway
from merrflow.datasets.outputs import Summary
from merrflow.pipeline import clip_file
from merrflow.pipeline.open_session import open_session
from merrflow.pipeline.request import Request
from merrflow.pipeline.session import Session
from merrflow.stages import peak_frame, probe, subtitle
from merrflow_serving.errors import UnreadableMedia
from merrflow_serving.media import container
from tests.faults.conftest import make_clips
from tests.orchestrator import fakes
from tests.orchestrator.fakes import calls, fake_services, make_video

NAMES = [f"c{number}" for number in range(4)]
PASSING = [errno.ENOENT, errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(clip_file, "PAUSES", (0.0, 0.1, 0.4, 1.0))


@pytest.fixture
def clips(tmp_path) -> Path:
    return make_clips(tmp_path / "clips", NAMES)


async def annotate(
    clips: Path, out: Path, before: Callable[[Session], None] = lambda session: None, **settings: object
) -> Summary:
    """before: called when the clips are registered and nothing is measured yet."""
    async with fake_services() as addresses:
        values = {"label_scores": "none", "clips_at_once": 2} | addresses | settings
        request = Request((str(clips),), str(out), overrides=values)
        async with open_session(request) as session:
            before(session)
            try:
                await session.annotate([clip.name for clip in session.todo])
            finally:
                summary = session.write_outputs()
            return summary


def records(out: Path) -> dict[str, dict]:
    return {row["name"]: row for row in map(json.loads, (out / "records.jsonl").read_text().splitlines())}


def once(function: Callable, before: Callable[[], None]) -> Callable:
    """The function, whose first call does something before."""
    left = [before]

    def patched(*arguments, **named):
        if left:
            left.pop()()
        return function(*arguments, **named)

    return patched


async def test_a_folder_that_vanishes_for_a_moment_costs_nothing(tmp_path, clips):
    away = tmp_path / "away"

    def unmount(session: Session) -> None:
        clips.rename(away)
        asyncio.get_running_loop().call_later(0.3, away.rename, clips)

    summary = await annotate(clips, tmp_path / "out", unmount)
    assert (summary.outcomes, summary.complete) == ({"done": 4}, True)


async def test_a_folder_that_stays_away_stops_the_run_and_the_next_one_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(clip_file, "PAUSES", (0.0, 0.05))
    names = [f"c{number:02}" for number in range(20)]
    clips, away = make_clips(tmp_path / "clips", names), tmp_path / "away"

    def unmount_after_the_first(session: Session) -> None:
        session.clip_finished.connect(lambda name, outcome: clips.exists() and clips.rename(away))

    with pytest.raises(ClipsAway, match=r"8 clips in a row .* folder seems to be gone .* run the same command again"):
        await annotate(clips, tmp_path / "out", unmount_after_the_first)
    done = len(records(tmp_path / "out"))
    assert 1 <= done < 20
    away.rename(clips)
    measured = calls["openface-au"]
    summary = await annotate(clips, tmp_path / "out")
    assert (summary.outcomes, summary.complete) == ({"done": 20}, True)
    assert calls["openface-au"] <= 20 - done and measured <= done + 2, "nothing was measured twice"


async def test_a_few_clips_that_stay_away_are_left_for_the_next_run(tmp_path, clips):
    one = clips / "c1.mp4"
    summary = await annotate(clips, tmp_path / "out", lambda session: one.rename(tmp_path / "c1.mp4"))
    assert (summary.outcomes, summary.try_again, summary.complete) == ({"done": 3, "failed": 1}, 1, False)
    assert summary.problems == (("c1", f"No such file or directory: {one}"),)
    (tmp_path / "c1.mp4").rename(one)
    summary = await annotate(clips, tmp_path / "out")
    assert (summary.outcomes, summary.worked) == ({"done": 4}, 1)


@pytest.mark.parametrize("code", PASSING, ids=errno.errorcode.get)
async def test_an_error_of_the_system_is_none_of_the_clip(tmp_path, monkeypatch, code):
    for number in range(4):
        make_video(tmp_path / f"clips/c{number}.mp4", "red", seed=number)
    path = str(tmp_path / "clips/c0.mp4")
    error = OSError(code, os.strerror(code), path)
    read, left = Path.read_bytes, [error]

    def read_bytes(file: Path) -> bytes:
        if str(file) == path and left:
            raise left.pop()
        return read(file)

    def fail(session: Session) -> None:
        """In each of the places where a clip is read."""
        monkeypatch.setattr(container, "_file_size", once(container._file_size, unreadable(error)))
        monkeypatch.setattr(container.av, "open", once(container.av.open, lambda: av.error.err_check(-code)))
        monkeypatch.setattr(peak_frame, "read_frames", once(peak_frame.read_frames, unreadable(error)))
        monkeypatch.setattr(Path, "read_bytes", read_bytes)

    summary = await annotate(tmp_path / "clips", tmp_path / "out", fail)
    assert (summary.outcomes, summary.complete) == ({"done": 4}, True)


def unreadable(error: OSError) -> Callable[[], None]:
    def fail() -> None:
        raise UnreadableMedia(f"the file cannot be read ({error.strerror})") from error

    return fail


async def test_a_service_that_cannot_open_a_file_condemns_no_clip(tmp_path, clips, monkeypatch):
    monkeypatch.setenv("MERRFLOW_OPENFACE_AU_MEDIA_ROOTS", str(tmp_path))
    measure = fakes.FakeActionUnits.answer

    def answer(engine: fakes.FakeActionUnits, source: Path | bytes):
        """As an engine in a process without a file handle to spare."""
        if isinstance(source, Path):
            raise UnreadableMedia("the file cannot be read (Too many open files)")
        return measure(engine, source)

    monkeypatch.setattr(fakes.FakeActionUnits, "answer", answer)
    summary = await annotate(clips, tmp_path / "out", send_paths=True)
    assert (summary.outcomes, summary.complete) == ({"done": 4}, True)


async def test_bad_media_are_still_tried_in_one_run_only(tmp_path, clips):
    (clips / "text.mp4").write_text("this is no video")
    whole = make_video(tmp_path / "whole.mp4", "red", frames=50).read_bytes()
    (clips / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    summary = await annotate(clips, tmp_path / "out")
    assert (summary.outcomes, summary.complete) == ({"done": 4, "failed": 2}, True)
    assert (await annotate(clips, tmp_path / "out")).worked == 0


async def test_a_clip_that_could_not_be_registered_is_looked_at_again(tmp_path, clips):
    table, late = tmp_path / "table.csv", tmp_path / "late.mp4"
    table.write_text(f"path\n{clips / 'c0.mp4'}\n{late}\n")
    assert (await annotate(table, tmp_path / "out")).outcomes == {"done": 1, "failed": 1}
    make_video(late, "red")
    assert (await annotate(table, tmp_path / "out")).outcomes == {"done": 2}


@pytest.mark.parametrize("stage", ["probe", "openface-au", "peak_frame"])
@pytest.mark.parametrize("kept", ["nothing", "size and time"])
async def test_a_clip_that_is_replaced_while_it_is_measured_gets_no_wrong_record(tmp_path, monkeypatch, stage, kept):
    """And put back at once, so that it is as before when the read is over."""
    clip = make_video(tmp_path / "clips/c0.mp4", "red")
    expected = await annotate(clip.parent, tmp_path / "expected")
    other, aside = make_video(tmp_path / "other.mp4", "blue", frames=40), tmp_path / "aside.mp4"
    if kept == "size and time":
        data = other.read_bytes()
        size = max(clip.stat().st_size, len(data))
        for path in (clip, other):
            with path.open("ab") as file:
                file.truncate(size)
        os.utime(other, ns=(clip.stat().st_atime_ns, clip.stat().st_mtime_ns))
    swaps = []

    def swapped(function: Callable) -> Callable:
        def read(*arguments, **named):
            if swaps:
                return function(*arguments, **named)
            swaps.append(1)
            clip.rename(aside)
            other.rename(clip)
            try:
                return function(*arguments, **named)
            finally:
                clip.rename(other)
                aside.rename(clip)

        return read

    def swap(session: Session) -> None:
        if stage == "probe":
            monkeypatch.setattr(probe, "decode", swapped(probe.decode))
        elif stage == "openface-au":
            monkeypatch.setattr(Path, "read_bytes", swapped(Path.read_bytes))
        else:
            monkeypatch.setattr(peak_frame, "read_frames", swapped(peak_frame.read_frames))

    summary = await annotate(clip.parent, tmp_path / "out", swap)
    assert swaps and summary.outcomes == expected.outcomes == {"done": 1}
    ours, theirs = (records(tmp_path / out)["c0"] for out in ("out", "expected"))
    assert (ours["probe"], ours["peak"]) == (theirs["probe"], theirs["peak"])
    assert (tmp_path / "out/peaks/c0.jpg").read_bytes() == (tmp_path / "expected/peaks/c0.jpg").read_bytes()


async def test_a_clip_that_stays_replaced_is_measured_anew_by_the_next_run(tmp_path, clips):
    def replace(session: Session) -> None:
        make_video(tmp_path / "blue.mp4", "blue", frames=30).rename(clips / "c1.mp4")

    summary = await annotate(clips, tmp_path / "out", replace)
    assert (summary.outcomes, summary.try_again) == ({"done": 3, "failed": 1}, 1)
    assert "replaced or changed since the run began" in summary.problems[0][1]
    summary = await annotate(clips, tmp_path / "out")
    assert (summary.outcomes, summary.worked) == ({"done": 3, "skipped": 1}, 1)


async def test_a_linked_subtitle_whose_target_goes_is_its_clips_affair(tmp_path, clips):
    target = tmp_path / "annex.srt"
    target.write_text("1\n00:00:00,000 --> 00:00:02,000\nHow nice.\n")
    (clips / "c1.srt").symlink_to(target)
    summary = await annotate(clips, tmp_path / "out", lambda session: target.unlink())
    assert (summary.outcomes, summary.complete) == ({"done": 4}, True), "a link to nothing is no subtitle file"
    assert records(tmp_path / "out")["c1"]["subtitle"]["source"] == "none"
    target.write_text("1\n00:00:00,000 --> 00:00:02,000\nHow nice.\n")
    assert (await annotate(clips, tmp_path / "out")).worked == 1
    assert records(tmp_path / "out")["c1"]["subtitle"]["text"] == "How nice."


async def test_a_subtitle_that_cannot_be_read_at_all_is_its_clips_affair(tmp_path, clips, monkeypatch):
    (clips / "c1.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nHow nice.\n")
    stat, broken = Path.stat, True

    def failing(path: Path, **options):
        if broken and path.name == "c1.srt":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return stat(path, **options)

    def fail(session: Session) -> None:
        monkeypatch.setattr(Path, "stat", failing)

    summary = await annotate(clips, tmp_path / "out", fail)
    assert (summary.outcomes, summary.try_again) == ({"done": 3, "failed": 1}, 1)
    assert summary.problems == (("c1", f"Input/output error: {clips / 'c1.srt'}"),)
    broken = False
    assert (await annotate(clips, tmp_path / "out")).outcomes == {"done": 4}


async def test_a_subtitle_that_changes_or_fails_while_it_is_read_is_read_again(tmp_path, clips, monkeypatch):
    file = clips / "c1.srt"
    text = "1\n00:00:00,000 --> 00:00:02,000\nHow {}.\n"
    file.write_text(text.format("nice"))
    (clips / "c2.srt").write_text(text.format("odd"))
    read = subtitle.read_cues

    def fail() -> None:
        raise subtitle.BadSidecar("it cannot be read") from OSError(errno.EIO, os.strerror(errno.EIO), "c2.srt")

    def read_cues(path: Path, encoding: str):
        cues = read(path, encoding)
        if path == file and "nice" in path.read_text():
            path.write_text(text.format("sad that is"))
        return cues

    read_and_fail = {"c1": read_cues, "c2": once(read, fail)}
    monkeypatch.setattr(subtitle, "read_cues", lambda path, encoding: read_and_fail[path.stem](path, encoding))
    assert (await annotate(clips, tmp_path / "out")).outcomes == {"done": 4}
    found = {name: row["subtitle"]["text"] for name, row in records(tmp_path / "out").items()}
    assert (found["c1"], found["c2"]) == ("How sad that is.", "How odd.")

"""The file of a clip in work: what is taken for another file, and what is not."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from merrflow.core.errors import ClipsAway, FileAway
from merrflow.core.fingerprint import file_sha256, file_state
from merrflow.core.measurements import Clip, FileState
from merrflow.pipeline.clip_file import MANY, AwayInARow, ClipFile, Reading
from merrflow_serving.errors import TooLarge, UnreadableMedia


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"video")
    return path


def registered(path: Path, state: FileState | None = None) -> ClipFile:
    return ClipFile(Clip("a", path, file_sha256(path), file=state or file_state(path)), asyncio.to_thread)


def copy(path: Path, data: bytes) -> None:
    """Puts another file in its place, with the times of the first."""
    found = path.stat()
    other = path.with_suffix(".other")
    other.write_bytes(data)
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.rename(path)


async def test_another_file_with_size_and_time_of_the_first_is_known_by_its_bytes(path):
    file = registered(path)
    copy(path, b"other")
    with pytest.raises(FileAway, match="replaced or changed"):
        await file.begin()


async def test_the_same_bytes_under_another_inode_are_the_same_clip(path):
    file = registered(path)
    copy(path, b"video")
    await file.begin()
    await file.check()


async def test_a_file_that_is_only_touched_costs_one_try(path):
    file = registered(path)
    await file.begin()
    os.utime(path, ns=(1, 1))
    with pytest.raises(FileAway):
        await file.check()
    await file.begin()
    await file.check()


async def test_a_file_of_which_only_size_and_time_are_known(path):
    found = file_state(path)
    file = registered(path, FileState(found.size, found.mtime_ns))
    await file.begin()
    copy(path, b"video")
    with pytest.raises(FileAway):
        await file.check()


async def test_a_file_system_on_which_reading_changes_the_ctime_costs_one_try(path):
    file = registered(path)
    await file.begin()
    path.chmod(0o600)
    with pytest.raises(FileAway):
        await file.check()
    await file.begin()
    path.chmod(0o644)
    await file.check()


async def test_media_are_bad_if_two_tries_say_the_same(path):
    file = registered(path)
    bad, other = UnreadableMedia("cut off at 3 s"), UnreadableMedia("cut off at 4 s")
    for error in (bad, other):
        with pytest.raises(FileAway, match=str(error)):
            await file.judge(error, "decoded")
    await file.judge(bad, "decoded")
    await file.judge(bad, "probe")
    await file.judge(TooLarge("too long"), "probe")


async def test_a_failure_of_a_file_that_is_gone_is_not_believed(path):
    file = registered(path)
    path.unlink()
    with pytest.raises(FileAway, match="No such file"):
        await file.judge(TooLarge("too long"), "probe")


async def test_a_clip_that_could_not_be_registered_is_not_waited_for(path):
    file = ClipFile(Clip("a", path.with_name("gone.mp4"), ""), asyncio.to_thread)
    await file.begin()
    await file.check()
    await file.judge(UnreadableMedia("gone"), "decoded")


def test_only_clips_in_a_row_stop_a_run():
    away = AwayInARow()
    for _ in range(3):
        for _ in range(MANY - 1):
            away.add("gone")
        away.end()
    with pytest.raises(ClipsAway, match="gone"):
        for _ in range(MANY):
            away.add("gone")


async def test_what_is_read_on_a_thread_is_checked_in_the_same_hand_over(path):
    handed = []

    def in_thread(function, *arguments):
        handed.append(function)
        return asyncio.to_thread(function, *arguments)

    file = ClipFile(Clip("a", path, file_sha256(path), file=file_state(path)), in_thread)
    await file.begin()
    handed.clear()
    reading = Reading(file)
    assert [await reading.in_thread(path.read_bytes), await reading.in_thread(len, "ab")] == [b"video", 2]
    await reading.check()
    assert len(handed) == 2
    await Reading(file).check()  # nothing was read on a thread: it may have been read elsewhere
    assert len(handed) == 3


@pytest.mark.parametrize("change", [lambda path: copy(path, b"other"), Path.unlink], ids=["replaced", "gone"])
async def test_a_file_that_changes_while_it_is_read_on_a_thread_is_away(path, change):
    file = registered(path)
    await file.begin()
    reading = Reading(file)
    await reading.in_thread(change, path)
    with pytest.raises(FileAway):
        await reading.check()


async def test_a_file_that_was_another_one_at_the_first_of_two_reads_is_away(path):
    file = registered(path)
    await file.begin()
    reading = Reading(file)
    path.rename(path.with_suffix(".first"))
    path.write_bytes(b"other")
    await reading.in_thread(path.read_bytes)
    path.with_suffix(".first").rename(path)
    await reading.in_thread(path.read_bytes)
    with pytest.raises(FileAway, match="replaced or changed"):
        await reading.check()

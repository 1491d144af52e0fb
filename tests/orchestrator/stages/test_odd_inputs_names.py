"""Odd names, links, pipes and folders: each is a clip, or a sentence that says why not."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from merrflow.core.errors import InputError
from merrflow.core.fingerprint import file_sha256
from merrflow.core.inputs import assign_names
from merrflow.core.paths import path_text
from merrflow.formats.clip_list import find_clips
from merrflow.formats.merr import read_annotations
from merrflow.stages.probe import decode
from merrflow.store import Ledger
from merrflow_serving.errors import UnreadableMedia
from tests.orchestrator.stages.odd_films import corner, film

LIMITS = {"max_seconds": 60.0, "max_pixels": 10**6}


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return film(path, (corner(96, 64) for _ in range(5))).read_bytes()


@contextmanager
def deadline(seconds: int):
    """Fails what hangs, such as the opening of a pipe, instead of waiting for ever."""

    def ring(*_: object) -> None:
        raise AssertionError(f"hangs for more than {seconds} s")

    old = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


NAMES = [
    "שלום עולם.mp4",
    "\u202egnp.mp4",  # shown from right to left
    "a" * 251 + ".mp4",
    "表" * 83 + ".mp4",  # 249 bytes and the suffix's 4
    "-rf.mp4",
    "%s{0}$(x)`y`.mp4",
    "http:__x.mp4",
    "line\nbreak.mp4",
    "shot%04d.mp4",
    "two  blanks .mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_are_clips_with_safe_names(tmp_path, clip, name):
    path = tmp_path / name
    path.write_bytes(clip)
    assert 200 < len(os.fsencode(name)) <= 255 or len(name) < 30
    found = find_clips([tmp_path])
    assert [one.path for one in found] == [path]
    safe = assign_names(found, {})[path]
    assert safe and safe.isprintable() and not set(safe) & set(" /\\%\n\u202e") - {"%"} and len(safe.encode()) <= 180
    (tmp_path / f"{safe}.json").write_text("x")  # with a suffix it is still a file name
    assert decode(path, **LIMITS).probe.frame_count == 5


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 2500 + "b.mp4"])
def test_a_name_that_no_system_takes_is_said(name):
    with pytest.raises(InputError, match="cannot be read"):
        find_clips([name])


def test_an_unknown_users_home_is_a_name_like_any_other(tmp_path):
    table = tmp_path / "clips.csv"
    table.write_text("path\n~nobody-here/a.mp4\n")
    assert [one.path.name for one in find_clips([table])] == ["a.mp4"]
    with pytest.raises(InputError, match="no such file"):
        find_clips(["~nobody-here/a.mp4"])


def test_a_zero_byte_in_a_table_is_damage(tmp_path):
    table = tmp_path / "clips.csv"
    table.write_bytes(b"path\na\0.mp4\n")
    with pytest.raises(InputError, match="line 2: holds a zero byte"):
        find_clips([table])


def test_links_within_outside_and_in_a_circle(tmp_path, clip):
    inside, outside = tmp_path / "clips", tmp_path / "elsewhere"
    inside.mkdir()
    outside.mkdir()
    (outside / "far.mp4").write_bytes(clip)
    (inside / "near.mp4").write_bytes(clip)
    (inside / "same.mp4").symlink_to("near.mp4")
    (inside / "away.mp4").symlink_to(outside / "far.mp4")
    (inside / "loop.mp4").symlink_to("loop.mp4")
    (inside / "gone.mp4").symlink_to("nowhere.mp4")
    (inside / "round").symlink_to(inside)
    found = {one.path.name: one for one in find_clips([inside])}
    assert sorted(found) == ["away.mp4", "gone.mp4", "loop.mp4", "near.mp4", "same.mp4"]
    assert decode(found["away.mp4"].path, **LIMITS).probe.frame_count == 5
    with pytest.raises(UnreadableMedia, match="does not exist"):
        decode(found["gone.mp4"].path, **LIMITS)
    with pytest.raises(UnreadableMedia, match="cannot be read"):
        decode(found["loop.mp4"].path, **LIMITS)
    with pytest.raises(InputError, match="cannot be read"):
        find_clips([inside / "loop.mp4"])


def test_pipes_and_devices_are_refused_and_never_opened(tmp_path):
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    with deadline(20):
        for path, kind in ((pipe, "a pipe"), (Path("/dev/zero"), "a device"), (tmp_path, "a folder")):
            with pytest.raises(UnreadableMedia, match=f"not a file but {kind}"):
                decode(path, **LIMITS)
            with pytest.raises(OSError, match="not a regular file"):
                file_sha256(path)
        for path in (pipe, Path("/dev/zero")):
            with pytest.raises(InputError, match="neither a file nor a folder"):
                find_clips([path])
        os.mkfifo(tmp_path / "labels.json")
        with pytest.raises(InputError, match="not a file"):
            read_annotations(tmp_path / "labels.json")


def test_a_pipe_in_a_folder_or_a_table_is_a_clip_without_bytes(tmp_path):
    """So it gets an outcome and a reason of its own, and the run goes on."""
    (tmp_path / "clips").mkdir()
    os.mkfifo(tmp_path / "clips" / "pipe.mp4")
    found = find_clips([tmp_path / "clips"])
    with deadline(20):
        ledger = Ledger.in_folder(tmp_path)
        try:
            clips = ledger.register(found, assign_names(found, {}))
        finally:
            ledger.close()
    assert [(clip.name, clip.sha256) for clip in clips] == [("pipe", "")]


def test_a_folder_named_like_a_clip_is_a_folder(tmp_path, clip):
    folder = tmp_path / "x.mp4"
    folder.mkdir()
    with pytest.raises(InputError, match="no video files in this folder"):
        find_clips([folder])
    (folder / "y.mp4").write_bytes(clip)
    assert [one.path.name for one in find_clips([tmp_path])] == ["y.mp4"]


def test_zero_bytes(tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    with pytest.raises(UnreadableMedia, match=r"empty \(0 bytes\)"):
        decode(path, **LIMITS)


def test_bytes_that_are_no_text_in_a_name(tmp_path, clip):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    path.write_bytes(clip)
    (found,) = find_clips([tmp_path])
    path_text(found.path).encode()
    assert decode(found.path, **LIMITS).probe.frame_count == 5

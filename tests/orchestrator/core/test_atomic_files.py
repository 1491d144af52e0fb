"""Files that are whole or not there, whatever ends their writer, and what a killed writer leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from merrflow.core import atomic_files
from merrflow.core.atomic_files import sweep_partial, whole_bytes, whole_text


@contextmanager
def writer_of(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has written half of a file."""
    code = (
        "import sys, time; from pathlib import Path; from merrflow.core.atomic_files import whole_text\n"
        "with whole_text(Path(sys.argv[1])) as file:\n"
        "    file.write('half'); file.flush(); print('now', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout and child.stdout.readline() == "now\n"
        yield child
    finally:
        child.kill()
        child.wait()


def test_killed_in_the_middle_the_old_file_stays_and_the_next_writer_sweeps(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    with writer_of(path) as child:
        with whole_text(tmp_path / "other.json") as file:
            file.write("{}")
        assert len(list(tmp_path.glob(".report.html.*.part"))) == 1
        child.kill()
        child.wait()
        assert path.read_text() == "old" and len(list(tmp_path.glob(".*.part"))) == 1
        with whole_text(path) as file:
            file.write("new")
    assert path.read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["other.json", "report.html"]


def test_what_a_living_process_writes_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with writer_of(path):
        sweep_partial(tmp_path)
        with whole_text(path) as file:  # two at once: each has a file of its own
            file.write("mine")
        assert path.read_text() == "mine" and len(list(tmp_path.glob(".*.part"))) == 1


def test_without_locks_only_what_is_old_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*args: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(atomic_files.fcntl, "flock", no_locks)
    old, young = tmp_path / ".a.jpg.1.part", tmp_path / ".b.jpg.2.part"
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    sweep_partial(tmp_path)
    assert (old.exists(), young.exists()) == (False, True)
    whole_bytes(tmp_path / "a.jpg", b"whole")
    assert (tmp_path / "a.jpg").read_bytes() == b"whole"


@pytest.mark.parametrize("kind", ["text", "bytes"])
def test_bytes_reach_the_disk_before_their_name_and_the_name_before_it_counts(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power failure, a file that got its name without this may be of 0 bytes."""
    steps: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(handle: int) -> None:
        where = Path(os.readlink(f"/proc/self/fd/{handle}"))
        steps.append("folder" if where.is_dir() else f"{where.stat().st_size} bytes")
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda *names: (steps.append("name"), replace(*names)))
    if kind == "text":
        with whole_text(tmp_path / "a") as file:
            file.write("four")
    else:
        whole_bytes(tmp_path / "a", b"four")
    assert steps == ["4 bytes", "name", "folder"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(KeyError):
        with whole_text(path) as file:
            file.write("half")
            raise KeyError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a"]

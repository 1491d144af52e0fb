"""A folder is the old one or the whole new one, whatever happens."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from itertools import count
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from merrflow.core.errors import InputError
from merrflow.datasets.export import folder as folders
from merrflow.datasets.export.folder import LIST, whole_folder


def write(target: Path, **contents: str) -> None:
    with whole_folder(target, "csv") as part:
        for name, text in contents.items():
            (part / "sub").mkdir(exist_ok=True)
            (part / "sub" / name).write_text(text)


def read(target: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (target / "sub").iterdir()}


def visible(parent: Path) -> list[str]:
    return sorted(path.name for path in parent.iterdir() if not path.name.endswith(".lock"))


def test_a_folder_is_written_and_replaced(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "set"
    write(target, a="1", b="2")
    assert read(target) == {"a": "1", "b": "2"}
    write(target, a="3")
    assert read(target) == {"a": "3"}
    assert visible(target.parent) == ["set"]


def test_without_exchange_it_is_replaced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_exchange", lambda one, other: False)
    write(tmp_path / "set", a="1")
    write(tmp_path / "set", a="2")
    assert read(tmp_path / "set") == {"a": "2"}
    assert visible(tmp_path) == ["set"]


def test_a_kill_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    write(tmp_path / "set", a="1")
    (tmp_path / "set").rename(tmp_path / ".set.old")
    with pytest.raises(KeyError):
        with whole_folder(tmp_path / "set", "csv"):
            raise KeyError
    assert read(tmp_path / "set") == {"a": "1"}


def test_an_error_leaves_the_old_one(tmp_path: Path) -> None:
    write(tmp_path / "set", a="1")
    with pytest.raises(KeyError):
        with whole_folder(tmp_path / "set", "csv") as part:
            (part / "b").write_text("half")
            raise KeyError
    assert read(tmp_path / "set") == {"a": "1"}
    assert visible(tmp_path) == ["set"]


def test_kill_9_leaves_the_old_one_and_the_next_export_sweeps(tmp_path: Path) -> None:
    write(tmp_path / "set", a="1")
    code = (
        "import sys, time; from pathlib import Path; from merrflow.datasets.export.folder import whole_folder\n"
        "with whole_folder(Path(sys.argv[1]), 'csv') as part:\n"
        "    (part / 'half').write_text('x'); print('now', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "set")], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "now\n"
    with pytest.raises(InputError, match="another export"):
        write(tmp_path / "set", a="2")
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert read(tmp_path / "set") == {"a": "1"}
    assert (tmp_path / ".set.part" / "half").exists()
    write(tmp_path / "set", a="2")
    assert read(tmp_path / "set") == {"a": "2"}
    assert visible(tmp_path) == ["set"]


def replace_without_end(target: Path, begun: Event) -> None:
    os.sync = lambda: None
    begun.set()
    for number in count():
        with whole_folder(target, "csv") as part:
            for name in "abc":
                (part / name).write_text(str(number))


def test_killed_at_any_moment_there_is_a_whole_one(tmp_path: Path) -> None:
    """A process that replaces the folder as fast as it can is killed again and again."""
    target, fork = tmp_path / "set", multiprocessing.get_context("fork")
    for delay in (0.1, 0.113, 0.127, 0.139):
        begun = fork.Event()
        child = fork.Process(target=replace_without_end, args=(target, begun))
        child.start()
        assert begun.wait(60)
        time.sleep(delay)
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        assert {path.name for path in target.iterdir()} == {"a", "b", "c", LIST}
        assert len({(target / name).read_text() for name in "abc"}) == 1


@pytest.mark.parametrize("kind", ["foreign", "added", "changed", "large", "file"])
def test_what_it_did_not_write_is_left_alone(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "set"
    if kind == "file":
        target.write_text("mine")
    elif kind == "foreign":
        (target / "sub").mkdir(parents=True)
        (target / "sub" / "a").write_text("mine")
    else:
        if kind == "large":
            monkeypatch.setattr(folders, "_HASHED", 1)
        write(target, a="12")
        (target / "sub" / ("b" if kind == "added" else "a")).write_text("mine")
    with pytest.raises(InputError, match="choose another folder$"):
        write(target, a="2")
    kept = target if kind == "file" else target / "sub" / ("b" if kind == "added" else "a")
    assert kept.read_text() == "mine"


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write(tmp_path / "set", a="1")
    assert read(tmp_path / "set") == {"a": "1"}


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", a="1")
    assert (tmp_path / "link").is_symlink()
    assert read(tmp_path / "real") == {"a": "1"}


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another folder"):
        write(tmp_path / "file" / "set", a="1")


def test_a_place_without_a_name_is_refused() -> None:
    with (
        pytest.raises(InputError, match="^/: cannot be replaced as a whole; choose another folder$"),
        whole_folder(Path("/"), "csv"),
    ):
        pass

"""Private folders: nobody else's, gone with their process, and never a way to another's files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from merrflow_serving import private_folder
from merrflow_serving.private_folder import PrivateFolder, remove_abandoned


@pytest.fixture
def old(monkeypatch) -> None:
    """Every folder is old enough to have its lock."""
    monkeypatch.setattr(private_folder, "YOUNG_SECONDS", -1.0)


def forsaken(parent: Path, name: str = "merrflow-openface-old") -> Path:
    folder = parent / name
    folder.mkdir(mode=0o700)
    (folder / "lock").touch()
    return folder


def test_the_private_folder_is_private_and_removed(tmp_path) -> None:
    folder = PrivateFolder("openface", tmp_path)
    assert folder.path.stat().st_mode & 0o777 == 0o700
    (folder.make() / "clip").write_bytes(b"1")
    assert folder.make() != folder.make()
    folder.close()
    folder.close()
    assert not list(tmp_path.iterdir())


def test_a_forsaken_folder_is_removed_and_a_living_one_is_not(tmp_path, monkeypatch) -> None:
    living = PrivateFolder("openface", tmp_path)
    left = forsaken(tmp_path)
    PrivateFolder("openface", tmp_path).close()
    assert left.exists()  # it is young: its owner may be about to lock it
    monkeypatch.setattr(private_folder, "YOUNG_SECONDS", -1.0)
    PrivateFolder("openface", tmp_path).close()
    assert list(tmp_path.iterdir()) == [living.path]
    living.close()


def test_what_a_killed_process_left_is_removed_with_all_that_is_in_it(tmp_path, old) -> None:
    code = (
        "import os, sys, pathlib\n"
        "from merrflow_serving.private_folder import PrivateFolder\n"
        "folder = PrivateFolder('llama3', pathlib.Path(sys.argv[1]))\n"
        "(folder.make() / 'clip').write_bytes(b'1')\n"
        "print(folder.path, flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        left = Path(process.stdout.readline().strip())
        remove_abandoned(tmp_path)
        assert left.exists(), "its process lives"
        process.kill()
        process.wait()
    (left / "link").symlink_to(tmp_path.parent)
    remove_abandoned(tmp_path)
    assert not left.exists() and tmp_path.parent.exists()


def test_folders_of_others_and_other_folders_are_left_alone(tmp_path, old) -> None:
    kept = [forsaken(tmp_path, "merrflow-open-to-all"), forsaken(tmp_path, "other-name")]
    kept[0].chmod(0o755)
    (tmp_path / "merrflow-no-lock").mkdir(mode=0o700)
    (tmp_path / "merrflow-file").touch()
    if os.geteuid() == 0:
        kept.append(forsaken(tmp_path, "merrflow-of-another-user"))
        os.chown(kept[-1], 12345, 12345)
    before = sorted(tmp_path.rglob("*"))
    remove_abandoned(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_links_lead_nowhere(tmp_path, old) -> None:
    """Another user of a shared folder makes links to what is ours."""
    shared, ours = tmp_path / "shared", tmp_path / "ours"
    shared.mkdir()
    precious = forsaken(tmp_path, "ours")
    (precious / "work").write_text("precious")
    (shared / "merrflow-link").symlink_to(ours)
    (shared / "merrflow-with-a-linked-lock").mkdir(mode=0o700)
    (shared / "merrflow-with-a-linked-lock/lock").symlink_to(ours / "work")
    inside = forsaken(shared, "merrflow-with-links")
    (inside / "folder").symlink_to(ours)
    (inside / "file").symlink_to(ours / "work")
    remove_abandoned(shared)
    assert (ours / "work").read_text() == "precious"
    assert not inside.exists() and (shared / "merrflow-link").is_symlink()
    assert (shared / "merrflow-with-a-linked-lock/lock").is_symlink()


def test_a_folder_that_is_gone_or_unreadable_is_no_error(tmp_path) -> None:
    remove_abandoned(tmp_path / "nowhere")


def test_where_no_lock_can_be_taken_no_folder_is_left(tmp_path, monkeypatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(private_folder.fcntl, "flock", refuse)
    with pytest.raises(OSError, match="No locks"):
        PrivateFolder("llama3", tmp_path)
    assert not list(tmp_path.iterdir())

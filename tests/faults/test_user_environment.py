"""Runs in poor surroundings: no UTF-8 locale, no home, no room for temporary files, files for their owner only."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.faults.conftest import make_clips
from tests.faults.processes import Faults
from tests.faults.processes_checks import assert_whole
from tests.faults.surroundings import BARE, WHOLE, ended, environment, remount, small_disk, start

NAME = "过年好 née"


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = make_clips(tmp_path_factory.mktemp("clips"), [NAME])
    (folder / f"{NAME}.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\n你好，née\n", encoding="utf-8")
    return folder


@pytest.fixture
def env(tmp_path) -> dict[str, str]:
    return environment(Faults(tmp_path / "faults"), {}) | {"PREFECT_HOME": str(tmp_path / "prefect")}


def runs(command: tuple[str, ...], clips: Path, out: Path, env: dict[str, str]) -> str:
    code, output = ended(start([*command, str(clips), "--out", str(out)], env))
    assert code == 0, output
    (name,) = assert_whole(out, {row.stem for row in (out / "peaks").glob("*.jpg")})
    record = (out / "records.jsonl").read_text(encoding="utf-8")
    assert "你好" in record or "\\u4f60\\u597d" in record, record
    assert "\ufffd" not in record and name
    return output


def without_locale(env: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in env.items() if not name.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    return kept | {"LC_ALL": "C"}


@pytest.mark.parametrize(
    "strict",
    [
        pytest.param({}, id="C", marks=pytest.mark.slow),
        pytest.param({"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, id="ASCII only"),
    ],
)
def test_without_a_utf8_locale(tmp_path, clips, env, strict):
    runs(BARE, clips, tmp_path / "out", without_locale(env) | strict)


@pytest.mark.slow
@pytest.mark.parametrize("home", ["nowhere", "read-only"])
def test_without_a_home(tmp_path, clips, env, home):
    del env["PREFECT_HOME"]
    with small_disk(tmp_path / "home", 64) as disk:
        remount(disk, "ro")
        # As root even a missing folder could be made, but not below /proc.
        env["HOME"] = {"nowhere": "/proc/nowhere", "read-only": str(disk)}[home]
        output = runs(WHOLE, clips, tmp_path / "out", env)
    assert "Prefect is gone (its server does not start: " in output and "continuing without it" in output
    assert "Warning" not in output


@pytest.mark.slow
def test_with_no_home_in_the_environment(tmp_path, clips, env):
    env.pop("HOME", None)
    runs(BARE, clips, tmp_path / "out", env)


@pytest.mark.slow
@pytest.mark.parametrize("temporary", ["nowhere", "full", "read-only"])
def test_without_room_for_temporary_files(tmp_path, clips, env, temporary):
    with small_disk(tmp_path / "small", 64) as disk:
        if temporary == "full":
            with (disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
                while True:
                    file.write(b"0" * 4096)
        else:
            remount(disk, "ro")
        runs(BARE, clips, tmp_path / "out", env | {"TMPDIR": str(disk / "sub" if temporary == "nowhere" else disk)})


@pytest.mark.slow
def test_files_for_their_owner_only(tmp_path, clips, env):
    before = os.umask(0o077)
    try:
        runs(BARE, clips, tmp_path / "out", env)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (tmp_path / "out").rglob("*")}
    assert modes == {0}

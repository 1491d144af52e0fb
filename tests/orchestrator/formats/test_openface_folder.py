"""Which OpenFace CSV of a folder belongs to a clip."""

from __future__ import annotations

from pathlib import Path

import pytest

from merrflow.core.errors import InputError
from merrflow.core.measurements import Clip
from merrflow.formats.openface_folder import OpenFaceFolder


def clip_at(path: str, name: str | None = None) -> Clip:
    return Clip(name or Path(path).stem, Path(path), "0")


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")


def test_a_clip_finds_its_file(tmp_path) -> None:
    put(
        tmp_path,
        "one.csv",
        "deep/er/Two.CSV",
        "three_of_details.txt",
        ".one.csv",
        "monday/four.csv",
        "tuesday/four.csv",
    )
    found = OpenFaceFolder.read(tmp_path)
    assert found.find(clip_at("/clips/one.mp4")) == tmp_path / "one.csv"
    assert found.find(clip_at("/clips/TWO.mp4")) == tmp_path / "deep/er/Two.CSV"
    assert found.find(clip_at("/clips/three.mp4")) is None
    assert found.find(clip_at("/clips/one.mp4", "renamed")) == tmp_path / "one.csv"
    assert found.find(clip_at("/clips/x.mp4", "one")) == tmp_path / "one.csv"
    assert found.find(clip_at("/clips/Monday/four.mp4", "four")) == tmp_path / "monday/four.csv"
    assert found.find(clip_at("/clips/tuesday/four.mp4", "tuesday__four")) == tmp_path / "tuesday/four.csv"
    assert found.find(clip_at("/clips/friday/four.mp4", "friday__four")) is None
    with pytest.raises(InputError, match="two files fit the clip four: .*monday/four.csv and .*tuesday/four.csv"):
        found.find(clip_at("/clips/four.mp4"))
    assert OpenFaceFolder.read(tmp_path).find(clip_at("/clips/one.mp4")) == tmp_path / "one.csv"


def test_case_decides_where_only_it_differs(tmp_path) -> None:
    put(tmp_path, "a.csv", "A.csv")
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this disk does not tell case apart")
    assert OpenFaceFolder.read(tmp_path).find(clip_at("/clips/A.mp4")) == tmp_path / "A.csv"


def test_a_folder_without_files_is_said(tmp_path) -> None:
    with pytest.raises(InputError, match="no CSV files in this folder"):
        OpenFaceFolder.read(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        OpenFaceFolder.read(tmp_path / "none")

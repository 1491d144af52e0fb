"""Folders that can, and cannot, be written to; disks with and without room."""

from __future__ import annotations

import os
from collections import namedtuple
from pathlib import Path

import pytest

from merrflow.cli.doctor import places
from merrflow.cli.doctor.engines import Chosen
from merrflow_serving.weights.places import Place
from tests.orchestrator.cli.doctor.situations import situation

Usage = namedtuple("Usage", "total used free")


def disk(monkeypatch, free: float) -> None:
    monkeypatch.setattr(places.shutil, "disk_usage", lambda path: Usage(10**13, 0, int(free)))


def test_out(tmp_path: Path) -> None:
    found = list(places.out(situation(out=tmp_path / "new" / "out")))
    assert [one.state for one in found] == ["ok", "ok"]
    assert not (tmp_path / "new").exists()  # it only looks
    assert [one.state for one in places.out(situation())] == ["note"]


def test_out_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    found = next(iter(places.out(situation(out=tmp_path / "out"))))
    assert (found.state, "not a folder" in found.found) == ("missing", True)


def test_out_is_read_only(tmp_path: Path, monkeypatch) -> None:
    """Of the file system /proc, because root may write to any folder that a mode protects."""
    found = next(iter(places.out(situation(out=Path("/proc/merrflow")))))
    assert (found.state, f"chown -R {os.geteuid()}" in found.todo) == ("missing", True)
    found = next(iter(places.out(situation(out=Path("/proc/merrflow"), inside=True))))
    assert "OUT_USER=" in found.todo


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_out_of_another_user(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert next(iter(places.out(situation(out=tmp_path / "out")))).state == "missing"


@pytest.mark.parametrize(("free", "state"), [(20e9, "ok"), (16e9, "missing")])
def test_room_for_weights(tmp_path: Path, monkeypatch, free: float, state: str) -> None:
    disk(monkeypatch, free)
    one = Chosen("llama3", "transformers", weights=("llama-3-8b-instruct",), place=Place(models_dir=tmp_path))
    assert [found.state for found in places.weights_disk(situation(one))] == [state]
    assert not list(places.weights_disk(situation(one, containers=True)))


def test_no_room_for_results(tmp_path: Path, monkeypatch) -> None:
    disk(monkeypatch, 1e6)
    assert [one.state for one in places.out(situation(out=tmp_path))] == ["ok", "missing"]

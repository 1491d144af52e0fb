"""What images install is locked by sha256: every pin, and nothing that the lock does not know."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from tests.deploy.stack import ROOT

DOCKER = ROOT / "deploy/docker"
LOCKS = sorted(DOCKER.glob("lock*.txt"))
A, B = "a" * 64, "b" * 64


def report(folder: Path, name: str, *files: tuple[str, str, str]) -> Path:
    """What pip would write that it chose these (name, version, sha256)."""
    install = [
        {
            "metadata": {"name": name, "version": version},
            "download_info": {
                "url": f"https://index/{name}-{version}.whl",
                "archive_info": {"hashes": {"sha256": sha256}} if sha256 else {},
            },
        }
        for name, version, sha256 in files
    ]
    (folder / name).write_text(json.dumps({"install": install}))
    return folder / name


def locked(folder: Path, chosen: Path, *words: str) -> subprocess.CompletedProcess[str]:
    lock = folder / "lock.txt"
    lock.write_text(f"# about\n\nnumpy==2.4.6 --hash=sha256:{A}\ntorch==2.13.0 --hash=sha256:{A} --hash=sha256:{B}\n")
    command = [sys.executable, DOCKER / "locked.py", chosen, lock, *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_what_pip_chose_gets_the_hashes_of_the_lock(tmp_path):
    ended = locked(tmp_path, report(tmp_path, "own", ("torch", "2.13.0", B), ("NumPy", "2.4.6", "")))
    assert ended.stdout.splitlines() == [
        f"numpy==2.4.6 --hash=sha256:{A}",
        f"torch==2.13.0 --hash=sha256:{A} --hash=sha256:{B}",
    ]


def test_what_the_shared_layer_has_is_left_out_and_must_be_the_same(tmp_path):
    chosen = report(tmp_path, "own", ("torch", "2.13.0", A), ("numpy", "2.4.6", A))
    shared = report(tmp_path, "shared", ("torch", "2.13.0", A))
    assert locked(tmp_path, chosen, "--without", str(shared)).stdout == f"numpy==2.4.6 --hash=sha256:{A}\n"
    other = report(tmp_path, "other", ("torch", "2.12.0", A))
    ended = locked(tmp_path, chosen, "--without", str(other))
    assert ended.returncode == 1 and "torch 2.13.0 is needed beside 2.12.0" in ended.stderr


@pytest.mark.parametrize(
    ("file", "words", "said"),
    [
        (("numpy", "2.4.6", B), (), "https://index/numpy-2.4.6.whl is none of the files that are locked"),
        (("numpy", "2.4.6", B), ("--new",), "none of the files that are locked"),
        (("pandas", "3.1.1", A), (), "pandas 3.1.1 is not in the lock; add it: make lock"),
        (("torch", "2.13.0+cu126", ""), ("--new",), "torch 2.13.0+cu126 is not in the lock"),
    ],
)
def test_a_file_that_is_not_locked_is_refused(tmp_path, file, words, said):
    ended = locked(tmp_path, report(tmp_path, "own", file), *words)
    assert ended.returncode == 1 and said in ended.stderr and "Traceback" not in ended.stderr


def test_a_build_of_torch_from_its_own_index_is_named(tmp_path):
    ended = locked(tmp_path, report(tmp_path, "own", ("torch", "2.13.0+cu126", B)), "--new")
    assert ended.stdout == f"torch==2.13.0+cu126 --hash=sha256:{B}\n"
    assert "torch 2.13.0+cu126 is not in the lock; installed as its index has it" in ended.stderr


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_line_of_a_lock_has_a_version_and_a_hash(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) > 3
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.!+]+( --hash=sha256:[0-9a-f]{64})+", line), line


def test_the_lock_has_the_projects_pins():
    sys.path.insert(0, str(DOCKER))
    try:
        from locked import lock, normal
    finally:
        sys.path.remove(str(DOCKER))
    known = {}
    for name, version in lock((DOCKER / "lock.txt").read_text()):
        known.setdefault(name, set()).add(Version(version).public)
    for file in ("constraints.txt", "models.txt"):
        for line in (ROOT / file).read_text().splitlines():
            if "==" in line.split("#")[0]:
                name, version = line.split("#")[0].split("==")
                assert known.get(normal(name)) == {Version(version).public}, f"{line}: make lock"

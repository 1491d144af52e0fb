"""`collect-openface.sh`, which the image runs in an OpenFace image: what it copies is what the engine finds."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from merrflow_openface_au.engines.openface.binary import find_binary

SCRIPT = Path(__file__).resolve().parents[3] / "services" / "openface_au" / "collect-openface.sh"


def collect(out: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", SCRIPT, out], env={"PATH": "/usr/bin:/bin"} | env, capture_output=True, text=True)


@pytest.mark.parametrize("models", ["bin", "etc/OpenFace"], ids=["a build folder", "make install"])
def test_binary_models_and_libraries_are_copied(tmp_path, models) -> None:
    installed = tmp_path / "openface" / "bin"
    installed.mkdir(parents=True)
    shutil.copy(os.path.realpath(shutil.which("ls")), installed / "FeatureExtraction")  # any program with libraries
    for name in ("model/patch_experts/a.dat", "AU_predictors/b.txt"):
        path = tmp_path / "openface" / models / name
        path.parent.mkdir(parents=True)
        path.write_text(name)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "FeatureExtraction").symlink_to(installed / "FeatureExtraction")
    assert collect(tmp_path / "out", PATH=f"{tmp_path / 'link'}:/usr/bin:/bin").returncode == 0
    found = tmp_path / "out" / "openface"
    assert (found / "bin" / "model" / "patch_experts" / "a.dat").read_text() == "model/patch_experts/a.dat"
    assert (found / "bin" / "AU_predictors" / "b.txt").is_file()
    assert not list(found.glob("lib/libc.so*")) and [path.name for path in (tmp_path / "out").iterdir()] == ["openface"]
    binary = find_binary(str(found / "bin" / "FeatureExtraction"))
    assert not binary.revision.endswith("models:none")
    assert subprocess.run([binary.path, "--version"], capture_output=True).returncode == 0


def test_a_script_around_it_is_copied_as_it_is(tmp_path) -> None:
    binary = tmp_path / "run"
    binary.write_text("#!/bin/sh\nexit 0\n")
    binary.chmod(0o755)
    assert collect(tmp_path / "out", OPENFACE_BINARY=str(binary)).returncode == 0
    assert os.access(tmp_path / "out" / "openface" / "bin" / "run", os.X_OK)

"""OpenFace's image, copied from another: what it says it is, and a build from an image without OpenFace."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.stack import ROOT, defaults, docker, inspect, reason_to_skip

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")
SOURCE, MADE = "merrflow/test-openface-source", "merrflow/test-openface-au:0.1.0-openface"


@pytest.fixture
def has_openface(tmp_path: Path) -> Iterator[str]:
    """An image in which a FeatureExtraction lies where the public one has it; it only says which it is."""
    (tmp_path / "FeatureExtraction").write_text("#!/bin/sh\necho 'OpenFace of a test'\n")
    (tmp_path / "FeatureExtraction").chmod(0o755)
    base = os.environ.get("PYTHON_IMAGE") or defaults()["PYTHON_IMAGE"]
    there = "/home/openface-build/build/bin"
    (tmp_path / "Dockerfile").write_text(
        f"FROM {base}\nCOPY FeatureExtraction {there}/\nRUN mkdir {there}/model && echo main >{there}/model/main.txt\n"
    )
    docker("build", "-q", "-t", SOURCE, str(tmp_path))
    yield SOURCE
    docker("image", "rm", "-f", SOURCE)


def build(source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    given = {"EXTRAS": "openface", "OPENFACE_IMAGE": source, "OPENFACE_AU_OPENFACE_IMAGE": MADE}
    return subprocess.run([ROOT / "deploy/build-images.sh"], env=os.environ | given, capture_output=True, text=True)


def test_the_image_has_openface_and_its_licence(has_openface, tmp_path):
    ended = build(has_openface, tmp_path)
    assert ended.returncode == 0, ended.stderr[-2000:]
    try:
        labels = inspect(MADE)["Config"]["Labels"]
        assert labels["org.opencontainers.image.title"] == "merrflow openface-au (OpenFace)"
        assert "OpenFace" in labels["org.opencontainers.image.licenses"]
        assert docker("run", "--rm", "--entrypoint", "FeatureExtraction", MADE) == "OpenFace of a test"
        describe = ["-m", "merrflow_serving", "describe", "openface-au"]
        told = docker("run", "--rm", "--entrypoint", "python3", MADE, *describe)
        assert '"engine": "openface"' in told
    finally:
        docker("image", "rm", "-f", MADE)


def test_a_build_from_an_image_without_it_says_so_in_a_sentence(tmp_path):
    ended = build(os.environ.get("PYTHON_IMAGE") or defaults()["PYTHON_IMAGE"], tmp_path)
    assert ended.returncode
    assert "there is no FeatureExtraction in this image; set OPENFACE_IMAGE to one with OpenFace in it" in ended.stderr

"""What many container tests share: the images, one whole stack, and the records of a local run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from merrflow import annotate
from tests.deploy.stack import CLIPS, ROOT, Stack, reason_to_skip

COPIES = 4  # of the clips, for runs that last long enough to be disturbed


@pytest.fixture(scope="session")
def images() -> None:
    """All images, built from this tree. CA, PIP_CONF and PYTHON_IMAGE are those of deploy/build-images.sh."""
    if reason := reason_to_skip():
        pytest.skip(reason)
    subprocess.run([ROOT / "deploy/build-images.sh"], check=True, timeout=3600)


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of clips, with transcripts.csv; MERRFLOW_TEST_CLIPS names another than examples/clips."""
    return Path(os.environ.get("MERRFLOW_TEST_CLIPS", CLIPS)).resolve()


@pytest.fixture(scope="session")
def local_run(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of a run without containers, with which those in containers are compared."""
    out = tmp_path_factory.mktemp("local")
    annotate(clips, out, transcripts=clips / "transcripts.csv", neutral_sample=1.0)
    return out


@pytest.fixture(scope="session")
def stack(images: None, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything `docker compose up` starts, with two workers and two replicas of llama3; more clips in /out/many."""
    out = tmp_path_factory.mktemp("containers")
    (out / "many").mkdir()
    for number in range(COPIES):
        for clip in clips.glob("*.mp4"):
            shutil.copy(clip, out / f"many/{clip.stem}-{number}.mp4")
    stack = Stack(out, clips=clips, environment={"LLAMA3_PORT": "0", "REPORTS_PORT": "0"})
    try:
        stack.up("--scale", "llama3=2", "--scale", "worker=2")
        yield stack
    finally:
        left = stack.down()
    assert not left, "down -v leaves nothing"

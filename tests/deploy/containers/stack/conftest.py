"""The one whole stack that all tests of this folder use, one after the other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.stack import ROOT, Stack

COPIES = 3  # of the clips, for runs that last long enough to be disturbed
QUICK = (Path(__file__).parent / "quick.yml").relative_to(ROOT)


@pytest.fixture(scope="package")
def stack(images: None, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything `docker compose up` starts, with two workers and two replicas of llama3; more clips in /out/many."""
    out = tmp_path_factory.mktemp("containers")
    (out / "many").mkdir()
    for number in range(COPIES):
        for clip in clips.glob("*.mp4"):
            shutil.copy(clip, out / f"many/{clip.stem}-{number}.mp4")
    stack = Stack(out, str(QUICK), clips=clips, environment={"LLAMA3_PORT": "0", "REPORTS_PORT": "0"})
    try:
        stack.up("--scale", "llama3=2", "--scale", "worker=2")
        yield stack
    finally:
        left = stack.down()
    assert not left, "down -v leaves nothing"

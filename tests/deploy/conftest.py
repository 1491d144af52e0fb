"""The images and one whole stack, for all tests that need containers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.stack import CLIPS, ROOT, Stack, reason_to_skip


@pytest.fixture(scope="session")
def images() -> None:
    """The five images, built from this tree. CA, PIP_CONF and PYTHON_IMAGE are those of deploy/build-images.sh."""
    if reason := reason_to_skip():
        pytest.skip(reason)
    subprocess.run([ROOT / "deploy/build-images.sh"], check=True, timeout=3600)


@pytest.fixture(scope="session")
def stack(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything `docker compose up` starts. MERRFLOW_TEST_CLIPS names another folder of clips than examples/clips."""
    clips = Path(os.environ.get("MERRFLOW_TEST_CLIPS", CLIPS)).resolve()
    stack = Stack(tmp_path_factory.mktemp("containers"), clips=clips)
    try:
        stack.up()
        yield stack
    finally:
        left = stack.down()
    assert not left, "down -v leaves nothing"

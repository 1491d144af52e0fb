"""One loaded engine for all tests of the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from merrflow_openface_au.engines.mediapipe.engine import MediapipeEngine
from merrflow_openface_au.settings import OpenFaceAuSettings

SHARED = Path(__file__).resolve().parents[4] / "shared"


@pytest.fixture(scope="session")
def engine() -> Iterator[MediapipeEngine]:
    made = MediapipeEngine(OpenFaceAuSettings())
    made.load()
    yield made
    made.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of research clips, beside the repository."""
    if not (SHARED / "clips").is_dir():
        pytest.skip("no research clips in ../shared")
    return SHARED

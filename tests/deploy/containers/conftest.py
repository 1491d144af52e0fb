"""What many container tests share: the images, Docker's engine, and the records of a local run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from merrflow import annotate
from tests.deploy.locked import ENGINE, locked
from tests.deploy.stack import CLIPS, ROOT, reason_to_skip


@pytest.fixture(scope="module", autouse=True)
def _engine_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nobody restarts Docker's engine while a module beside `stack/` is tested in another process than that."""
    if reason_to_skip() or request.path.parent != Path(__file__).parent:
        yield
        return
    with locked(ENGINE, alone=False):
        yield


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
    """The dataset of a run without containers, with which those in containers are compared; one for all processes."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    out, complete = folder / "local", folder / "local-is-complete"
    with locked(folder / "local.lock", alone=True):
        if not complete.exists():
            annotate(clips, out, transcripts=clips / "transcripts.csv", neutral_sample=1.0)
            complete.touch()
    return out

"""What the fault tests share: clips, the four services as processes, and a run without Prefect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from merrflow.datasets.outputs import Summary
from merrflow.flow import run
from merrflow.pipeline.open_session import open_session
from merrflow.pipeline.request import Request
from tests.faults.processes import Faults, Supervised, supervised
from tests.faults.surroundings import without_prefect
from tests.orchestrator.fakes import make_video


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Faults:
    return Faults(tmp_path_factory.mktemp("faults"), MERRFLOW_QWEN_AUDIO_MAX_QUEUE=1)


@pytest.fixture(scope="module")
def services(faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Supervised]]:
    """The four as processes, which a module's tests share."""
    with supervised(faults, tmp_path_factory.mktemp("logs")) as found:
        yield found


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Faults:
    """Services that take half a second for each answer."""
    return Faults(tmp_path_factory.mktemp("slow"), MERRFLOW_FAULTS_LATENCY=0.5)


@pytest.fixture(scope="module")
def clips(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip for each of the module's `NAMES`."""
    return make_clips(tmp_path_factory.mktemp("clips"), request.module.NAMES)


@pytest.fixture
def no_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command runs the flow without Prefect."""
    monkeypatch.setattr(run, "_run_flow", without_prefect)


def make_clips(folder: Path, names: list[str]) -> Path:
    """A folder of small clips with a smile, no two alike."""
    for number, name in enumerate(names):
        make_video(folder / f"{name}.mp4", "red", frames=8 + number % 8, seed=number)
    return folder


async def annotate(clips: Path, out: Path, addresses: Mapping[str, str], **settings: object) -> Summary:
    """A run over all clips of a folder. Patience is short: a service that is away is back within seconds."""
    short = {"retry_seconds": 30.0, "ready_seconds": 60.0, "call_seconds": 30.0}
    request = Request((str(clips),), str(out), overrides=short | dict(addresses) | settings)
    async with open_session(request) as session:
        await session.wait_ready()
        try:
            await session.annotate([clip.name for clip in session.todo])
        finally:
            summary = session.write_outputs()
        return summary

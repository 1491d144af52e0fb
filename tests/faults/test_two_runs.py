"""Two runs on one folder at once: the second is refused in a sentence, wherever it is."""

from __future__ import annotations

import asyncio
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from merrflow.core.errors import InputError
from merrflow.flow import run
from merrflow.flow.run import annotate_request
from merrflow.pipeline.request import Request
from merrflow.store import Ledger
from merrflow.store.database import locate_ledger
from merrflow.store.exclusive import exclusive_ledger
from tests.faults.conftest import make_clips
from tests.faults.processes import Faults, supervised
from tests.faults.processes import addresses as addresses_of
from tests.faults.processes_checks import assert_whole
from tests.faults.surroundings import BARE, ended, ending, environment, start, until, without_prefect
from tests.orchestrator.fakes import calls, fake_services

NAMES = [f"c{number}" for number in range(6)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), NAMES)


@pytest.fixture(scope="module")
def slow(tmp_path_factory) -> Iterator[tuple[Faults, dict[str, str]]]:
    """Services whose calls take a while, and the settings that name them."""
    faults = Faults(tmp_path_factory.mktemp("faults"), MERRFLOW_FAULTS_LATENCY=0.5)
    with supervised(faults, tmp_path_factory.mktemp("logs")) as found:
        yield faults, addresses_of(found)


@pytest.mark.parametrize("through", ["the same path", "a link"])
async def test_a_second_run_in_the_same_process_is_refused(tmp_path, clips, monkeypatch, through):
    monkeypatch.setattr(run, "_run_flow", without_prefect)
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    other = tmp_path / ("link" if through == "a link" else "out")
    began = asyncio.Event()
    async with fake_services() as addresses:
        requests = [Request((str(clips),), str(out), overrides=addresses) for out in (tmp_path / "out", other)]
        first = asyncio.create_task(annotate_request(requests[0], on_start=lambda session: began.set()))
        await began.wait()
        with pytest.raises(InputError, match="another run is working there"):
            await annotate_request(requests[1])
        assert (await first).outcomes == {"done": len(NAMES)}
        assert calls["llama3"] == len(NAMES)
        assert (await annotate_request(requests[1])).worked == 0, "afterwards it is free"
    assert_whole(tmp_path / "out", NAMES)


async def test_a_second_run_from_another_thread_is_refused(tmp_path, clips, monkeypatch):
    monkeypatch.setattr(run, "_run_flow", without_prefect)
    began, told = asyncio.Event(), []

    def second(request: Request) -> None:
        try:
            run.annotate(request.inputs, request.out, **request.overrides)
        except InputError as error:
            told.append(str(error))

    async with fake_services() as addresses:
        request = Request((str(clips),), str(tmp_path / "out"), overrides=addresses)
        first = asyncio.create_task(annotate_request(request, on_start=lambda session: began.set()))
        await began.wait()
        thread = threading.Thread(target=second, args=(request,))
        thread.start()
        assert (await first).outcomes == {"done": len(NAMES)}
        await asyncio.to_thread(thread.join)
    assert len(told) == 1 and "another run is working there" in told[0]


@pytest.mark.slow
def test_a_second_process_is_refused_and_the_first_goes_on(tmp_path, clips, slow):
    faults, addresses = slow
    env = environment(faults, {"label_scores": "none", "clips_at_once": 2} | addresses)
    command = [*BARE, str(clips), "--out", str(tmp_path / "out")]
    before = faults.calls()
    first = start(command, env)
    with ending(first):
        until(lambda: (faults.calls() - before).total() > 3, "calls", first)
        first.send_signal(signal.SIGSTOP)  # so that it is still at work, however long the second takes to start
        try:
            code, output = ended(start(command, env))
        finally:
            first.send_signal(signal.SIGCONT)
        assert code == 2 and "another run is working there; wait for it" in output, output
        assert ended(first)[0] == 0
    assert_whole(tmp_path / "out", NAMES)
    assert max((faults.calls() - before).values()) == 1, "no work was done twice"


def test_machines_that_share_a_database_and_no_locks_see_each_other(tmp_path, postgres_url):
    """Two folders with the same `ledger.json` are one dataset, as one folder seen from two machines is."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = locate_ledger(tmp_path / "one", postgres_url)
    Ledger(first).close()
    shutil.copy(tmp_path / "one/ledger.json", tmp_path / "two/ledger.json")
    second = locate_ledger(tmp_path / "two", postgres_url)
    with exclusive_ledger(first, tmp_path / "one"):
        with (
            pytest.raises(InputError, match="another run is working there"),
            exclusive_ledger(second, tmp_path / "two"),
        ):
            pass
    with exclusive_ledger(second, tmp_path / "two"):
        pass

"""What holds for all tests: how they are shared out among processes, and what each process starts at most once."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import settings

from merrflow.pipeline import process_wide
from merrflow.stages import text_reader
from merrflow_serving import distributions
from merrflow_serving.media.ocr import TextReader
from tests.paths import ROOT
from tests.postgres import NoPostgres, postgres

# Begun first, so that no process is left alone with one of them at the end. These start processes and wait for them.
LONG = ("orchestrator/flow", "services/llama3", "end_to_end", "faults", "benchmarks", "deploy", "fuzz")

# They share what takes long to start: containers, a Prefect server, a language model.
TOGETHER = ("tests/deploy/containers/stack", "tests/deploy", "tests/orchestrator/flow", "tests/services/llama3")


def pytest_configure(config: pytest.Config) -> None:
    """Threads of OpenMP (torch, llama.cpp), here and in what the tests start, do not take cores from the tests beside.

    By default a thread that waits for another spins. Where that other one waits for a core itself, this takes minutes.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if hasattr(config, "workerinput"):  # one of several processes
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        return  # the others are started here, with these arguments
    # No test depends on the .env at the top of the repository, which is Compose's and which Prefect reads.
    elsewhere = tempfile.TemporaryDirectory(prefix="merrflow-tests-")
    config.add_cleanup(elsewhere.cleanup)
    os.chdir(elsewhere.name)
    # Kept from run to run: the constants that Hypothesis reads in our sources, and what has failed before.
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(ROOT / ".hypothesis"))
    # How long an example takes says how busy the machine is. Hypothesis itself sees to that only where CI is set.
    settings.register_profile("patient", settings.default, deadline=None)
    settings.load_profile("patient")
    # A Prefect server that a run starts for itself ends with it, instead of waiting for the next one.
    os.environ.setdefault("MERRFLOW_PREFECT_IDLE_SECONDS", "0")
    # For what tests start with `-m tests....`.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    # Half of what it costs to import all tests is to look again and again for garbage among modules, which stay.
    gc.disable()
    config.add_cleanup(gc.enable)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as the command has it: a twentieth of all tests' time was collections
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        return next((number for number, long in enumerate(LONG) if item.nodeid.startswith(f"tests/{long}/")), len(LONG))

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile`, a file's tests run in one process; so do all of a folder of `TOGETHER`."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return next((folder for folder in TOGETHER if Path(file).is_relative_to(folder)), file)

    config.option.loadscopereorder = False  # the order is that of `pytest_collection_modifyitems`
    return Files(config, log)


@pytest.fixture(scope="session", autouse=True)
def _grpc_stays_open():
    """Keeps grpc.aio's polling thread for the whole session.

    It ends with the last channel or server. Where the garbage collector frees that one, in whatever test it happens to
    run, it waits for the thread, and the thread for a call that nobody will answer.
    """
    grpc.aio.init_grpc_aio()
    yield


@pytest.fixture(scope="session", autouse=True)
def _installed_plugins_are_read_once() -> Iterator[None]:
    """To read what is installed costs 20 ms of a core, and each service of a run asks, and each of its outputs.

    Where a test has put a folder of its own on the path, plug-ins are read as ever.
    """
    usual, known = [*sys.path], cache(entry_points)

    def read(**wanted: str) -> EntryPoints:
        return (known if sys.path == usual else entry_points)(**wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributions, "entry_points", read)
        yield


@pytest.fixture(scope="session", autouse=True)
def _frozen_objects_are_not_counted() -> Iterator[None]:
    """A run looks whether its caller has frozen objects. Here there are a million, counted one by one for 30 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process_wide, "settled_heap", nullcontext)  # what it does where there are some
        yield


@pytest.fixture(scope="session", autouse=True)
def _a_run_takes_over_the_models_for_text_of_an_earlier_one() -> Iterator[None]:
    """To load them takes 40 ms of a core, and each of hundreds of runs does."""
    free: list[Any] = []

    class Reader(TextReader):
        def _models(self) -> Any:
            if self._ocr is None:
                try:
                    self._ocr = free.pop()
                except IndexError:
                    super()._models()
                weakref.finalize(self, free.append, self._ocr)
            return self._ocr

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_reader, "TextReader", Reader)
        yield


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of an empty database; skips if PostgreSQL is not installed."""
    try:
        with postgres() as url:
            yield url
    except NoPostgres as error:
        pytest.skip(str(error))

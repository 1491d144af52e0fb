"""One Prefect server, as `merrflow prefect` runs it, for all tests of the flow.

To start one costs ten seconds of a core. It ends with the last of them, because one that nobody
asks takes as much again within some minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.prefect_server import prefect_server


@pytest.fixture(scope="package")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its database."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="package")
def prefect_url(prefect_home: Path) -> Iterator[str]:
    """The URL of its API. Runs of other tests are in it too. Every 3 s it forgets what is older than a day."""
    often = {"PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "3"}  # each second would be half of what it does
    with prefect_server(prefect_home, "--keep-days", "1", own=True, **often) as url:
        yield url


@pytest.fixture(scope="module")
def server(prefect_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same, and it is the server of flows that a module's tests run, here and in the processes that they start."""
    with temporary_settings({PREFECT_API_URL: prefect_url}), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", prefect_url)
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("home")))
        yield prefect_url
        # What waits to be sent is sent while the server is there, else this process tries for a minute at its end.
        with suppress(RuntimeError):  # nothing was ever sent
            APILogWorker.instance().drain()
        EventsWorker.drain_all()

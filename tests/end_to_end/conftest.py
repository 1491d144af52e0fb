"""Prefect's server of runs that are given none: they share one, as a user's runs do."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.prefect_home import home_with_database


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The variables of such runs. The first starts the server, which takes four seconds of a core."""
    home = home_with_database(tmp_path_factory.mktemp("prefect"))
    yield {"PREFECT_HOME": str(home), "MERRFLOW_PREFECT_IDLE_SECONDS": "120"}
    for file in (home / "merrflow").glob("server-*.lock"):
        _end(file)


def _end(file: Path) -> None:
    """Ends the server that the file names; it may have ended by itself."""
    pid = json.loads(file.read_text())["pid"]
    with suppress(OSError):
        if file.name.removesuffix(".lock") in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGTERM)

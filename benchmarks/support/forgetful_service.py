"""A service whose engine `openai` asks its endpoint again when a question is asked again: `python -m merrflow_serving`
otherwise.

A service keeps its last replies. Copies of one clip ask the same questions, which clips of a real dataset do not.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from merrflow_serving.__main__ import main
from merrflow_serving.catalog import SERVICES
from merrflow_serving.health import check
from merrflow_serving.openai import client


@contextmanager
def openai_service(
    name: str, url: str, folder: Path, environment: Mapping[str, str], *, module: str = __spec__.name
) -> Iterator[tuple[str, int]]:
    """One in a process of its own, with its files in `folder`; yields its address and process once it serves.

    url: of the endpoint. module: "merrflow_serving" for a service that keeps replies. Raises `RuntimeError` with the
    end of its log if it does not serve.
    """
    place, prefix = folder / f"{name}.address", SERVICES[name].env_prefix
    given = {"ENGINE": "openai", "OPENAI_BASE_URL": url, "OPENAI_MODEL": "m", "LOG_LEVEL": "warning"}
    command = [sys.executable, "-m", module, name, "--port", "0", "--stop-with-stdin"]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--address-file", str(place)],
            env={**environment} | {f"{prefix}{setting}": value for setting, value in given.items()},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    assert process.stdin
    try:
        deadline = time.monotonic() + 180
        while not (place.exists() and check(place.read_text())[0]):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start:\n{(folder / f'{name}.log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield place.read_text(), process.pid
    finally:
        process.stdin.close()
        process.wait(60)


if __name__ == "__main__":
    client.MOST_KEPT = 0
    sys.exit(main())

"""Services as real processes that a test may kill: found through entry points, so all of merrflow takes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from merrflow_serving import health
from merrflow_serving.catalog import NEEDED
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 90.0


class Faults:
    """A folder with the plan of what goes wrong, the log of engine calls, and packages that name the engines."""

    def __init__(self, folder: Path, **variables: object) -> None:
        """variables: of the environment, for all processes."""
        folder.mkdir(parents=True, exist_ok=True)
        self._plan, self._log = folder / "plan.json", folder / "calls.log"
        self.plan()
        self._log.touch()
        for name in NEEDED:
            word = name.replace("-", "_")
            package = folder / f"packages/merrflow_{word}-0.dist-info"
            package.mkdir(parents=True, exist_ok=True)
            (package / "METADATA").write_text(f"Metadata-Version: 2.1\nName: merrflow-{name}\nVersion: 0\n")
            entry = f"[merrflow.services]\n{name} = tests.faults.processes_engines:{word.upper()}\n"
            (package / "entry_points.txt").write_text(entry)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MERRFLOW_")},
            "PYTHONPATH": os.pathsep.join((str(folder / "packages"), str(ROOT))),
            "MERRFLOW_PREFECT_IDLE_SECONDS": "0",
            "MERRFLOW_FAULTS_PLAN": str(self._plan),
            "MERRFLOW_FAULTS_LOG": str(self._log),
            **{name: str(value) for name, value in variables.items()},
        }

    def plan(self, **deeds: Mapping[str, str]) -> None:
        """What each service does on which clip from now on: `plan(openface_au={"c1": "abort"})`."""
        partial = self._plan.with_suffix(".part")
        partial.write_text(json.dumps({name.replace("_", "-"): dict(deed) for name, deed in deeds.items()}))
        os.replace(partial, self._plan)

    def calls(self) -> Counter[tuple[str, str]]:
        """(service, clip) -> calls of its engine until now; the service "scores" is llama3's second task."""
        return Counter(tuple(line.split("\t")) for line in self._log.read_text().splitlines())


class Supervised:
    """One service in a process, started again at once whenever it ends, on the same port, as a supervisor does."""

    def __init__(self, name: str, faults: Faults, log: Path) -> None:
        self.name = name
        self.starts = 0
        self.codes: list[int] = []  # exit codes, in order
        self.address = f"127.0.0.1:{free_port()}"
        self._faults = faults
        self._log = log
        self._over = threading.Event()
        self._process: subprocess.Popen | None = None
        self._thread = threading.Thread(target=self._supervise, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def is_serving(self) -> bool:
        return health.check(self.address, 1.0)[0]

    def wait_serving(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.is_serving:
            assert time.monotonic() < deadline, f"{self.name}: {health.check(self.address)}\n{self._log.read_text()}"
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9."""
        if self._process:
            self._process.kill()

    def stop(self) -> None:
        self._over.set()
        while self._thread.is_alive():  # it may just have started another
            self.kill()
            self._thread.join(0.1)

    def _supervise(self) -> None:
        port = self.address.rsplit(":", 1)[1]
        while not self._over.is_set():
            self.starts += 1
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "merrflow_serving", self.name, "--port", port],
                    env=self._faults.environment,
                    stdout=log,
                    stderr=log,
                )
            self.codes.append(self._process.wait())
            if self.codes[-1] == 2:  # the port is not free yet, or the settings are wrong
                self._over.wait(0.2)


@contextmanager
def supervised(faults: Faults, folder: Path) -> Iterator[dict[str, Supervised]]:
    """The four, ready, by name."""
    services = {name: Supervised(name, faults, folder / f"{name}.log") for name in NEEDED}
    try:
        for service in services.values():
            service.wait_serving()
        yield services
    finally:
        for service in services.values():
            service.stop()


def addresses(services: Mapping[str, Supervised]) -> dict[str, str]:
    """The settings that name them."""
    return {f"{name.replace('-', '_')}_address": service.address for name, service in services.items()}


@contextmanager
def alone(name: str, faults: Faults, folder: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """One service that nobody starts again, once it listens: its process and address. Its log is `folder / "log"`."""
    place, log = folder / "address", folder / "log"
    command = [sys.executable, "-m", "merrflow_serving", name, "--port", "0", "--address-file", str(place)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=faults.environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not place.exists():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield process, place.read_text()
    finally:
        process.kill()
        process.wait()

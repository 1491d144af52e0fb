"""Many processes on one ledger in PostgreSQL, and whether all that they did is in it, once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.support.ledger_client import STAGES, Task, done, shards_of
from benchmarks.support.processes import cpu_seconds
from merrflow.core.inputs import Found
from merrflow.store import Ledger
from tests.postgres import Cluster

PAUSE_SECONDS = 2.0  # that the server is away, with faults
PATIENCE_SECONDS = 900.0
LOOK_SECONDS = 1.0  # between two counts of connections


@dataclass(frozen=True)
class Load:
    """How many processes do how much. rate: clips a second of each; 0: as fast as it can."""

    workers: int
    clips: int  # of all
    shard: int  # clips
    rate: float
    at_once: int = 64
    faults: bool = False  # one process is killed, and the server restarted, in the middle


def load(place: Path, server: Cluster, what: Load) -> dict[str, Any]:
    """The figures. Raises `RuntimeError` if a row is missing, or anything was done twice without need."""
    names, registered = _register(place, server, what.clips)
    shards = shards_of(names, what.shard)
    base = {"out": str(place / "out"), "url": server.url, "shards": shards, "rate": what.rate, "at_once": what.at_once}
    tasks = [
        Task(
            **base,
            first=number * len(shards) // what.workers,
            done=f"{place}/{number}.done",
            notes=f"{place}/{number}.json",
        )
        for number in range(what.workers)
    ]
    commits, cpu, started = _commits(server), cpu_seconds(server.pid), time.monotonic()
    with _running(place, tasks) as processes:
        killed = _break(server, processes, tasks, what) if what.faults else None
        connections = _wait(place, server, processes, killed)
    seconds = time.monotonic() - started
    again = check(place, server, names, killed)
    notes = [json.loads(Path(task.notes).read_text()) for number, task in enumerate(tasks) if number != killed]
    waits = sorted(chain.from_iterable(one["waits"] for one in notes))
    reads = sorted(chain.from_iterable(one["reads"] for one in notes))
    working = max(one["s"] for one in notes)
    found = {
        "clips_per_s": what.clips / working,
        "write_p50_ms": _at(waits, 0.5) * 1000,
        "write_p99_ms": _at(waits, 0.99) * 1000,
        "read_p99_ms": _at(reads, 0.99) * 1000,
        "clients_cpu_ms_a_clip": sum(one["cpu_s"] for one in notes) / what.clips * 1000,
        "register_ms_a_clip": registered / what.clips * 1000,
        "client_mib": max(one["mib"] for one in notes),
        "connections": connections,
        "done_again": again,
    }
    if not what.faults:  # the counts of a server begin anew with it
        found["server_cpu_ms_a_clip"] = (cpu_seconds(server.pid) - cpu) / what.clips * 1000
        found["transactions_per_s"] = (_commits(server) - commits) / seconds
    return asdict(what) | found


def _register(place: Path, server: Cluster, count: int) -> tuple[list[str], float]:
    """Names of new clips, and the seconds that it took to enter them."""
    folder = place / "clips"
    folder.mkdir(parents=True)
    found = []
    for number in range(count):
        path = folder / f"clip_{number:06}.mp4"
        path.write_text(str(path))
        found.append(Found(path))
    (place / "out").mkdir()
    with closing(Ledger.in_folder(place / "out", server.url)) as ledger:
        started = time.monotonic()
        ledger.register(found, {clip.path: clip.path.stem for clip in found})
        return [clip.path.stem for clip in found], time.monotonic() - started


@contextmanager
def _running(place: Path, tasks: list[Task]) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number, task in enumerate(tasks):
            file = place / f"{number}.task"
            file.write_text(json.dumps(asdict(task)))
            with (place / f"{number}.log").open("wb") as log:
                command = [sys.executable, "-m", "benchmarks.support.ledger_client", str(file)]
                processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _break(server: Cluster, processes: list[subprocess.Popen[bytes]], tasks: list[Task], what: Load) -> int:
    """Kills a process after a third of the work, restarts the server after two thirds. Returns who was killed."""
    files = [Path(task.done) for task in tasks]
    _until(files, what.clips * len(STAGES) // 3, processes)
    victim = max(range(len(tasks)), key=lambda number: files[number].stat().st_size if files[number].exists() else 0)
    processes[victim].kill()
    processes[victim].wait()
    _until(files, what.clips * len(STAGES) * 2 // 3, processes)
    server.stop()
    time.sleep(PAUSE_SECONDS)
    server.start()
    return victim


def _wait(place: Path, server: Cluster, processes: list[subprocess.Popen[bytes]], killed: int | None) -> int:
    """Waits for all processes; returns the most connections that the server has had meanwhile."""
    most, deadline = 0, time.monotonic() + PATIENCE_SECONDS
    for number, process in enumerate(processes):
        while process.poll() is None and time.monotonic() < deadline:
            with psycopg.connect(server.url.replace("+psycopg", "")) as db:
                row = db.execute(
                    "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()"
                ).fetchone()
            most = max(most, row[0] if row else 0)
            time.sleep(LOOK_SECONDS)
        if number != killed and process.returncode:
            raise _ended(place, number)
    return most


def _ended(place: Path, number: int) -> RuntimeError:
    """What is to be said of a process that did not come to the end of its work."""
    last = (place / f"{number}.log").read_text().strip().splitlines()[-1:]
    return RuntimeError(f"process {number} ended before its work was done: {' '.join(last)}")


def _until(files: list[Path], lines: int, processes: list[subprocess.Popen[bytes]]) -> None:
    while sum(file.read_bytes().count(b"\n") for file in files if file.exists()) < lines:
        for number, process in enumerate(processes):
            if process.returncode is None and process.poll():
                raise _ended(files[0].parent, number)
        time.sleep(0.1)


def check(place: Path, server: Cluster, names: list[str], killed: int | None) -> int:
    """How many stages were done twice, as the process that did them first was killed before they were written."""
    schema = json.loads((place / "out/ledger.json").read_text())["schema"]
    with psycopg.connect(server.url.replace("+psycopg", "")) as db:
        rows = db.execute(f"SELECT clip, stage, count(*), sum(attempts) FROM {schema}.stages GROUP BY 1, 2").fetchall()
        open_ends = db.execute(f"SELECT count(*) FROM {schema}.clips WHERE outcome IS DISTINCT FROM 'done'").fetchone()
    wanted = {(name, stage) for name in names for stage in STAGES}
    found = {(clip, stage): (count, int(attempts)) for clip, stage, count, attempts in rows}
    if set(found) != wanted or set(found.values()) != {(1, 1)} or open_ends != (0,):
        raise RuntimeError(f"of {len(wanted)} results {len(wanted - set(found))} are missing, or some are there twice")
    work = done(place.glob("*.done"))
    again = {key for key, count in work.items() if count > 1}
    of_killed: Counter[tuple[str, str]] = Counter()
    if killed is not None:
        of_killed = done(iter([place / f"{killed}.done"]))
    if unneeded := [key for key in again if work[key] > 2 or not of_killed[key]]:
        raise RuntimeError(f"{len(unneeded)} results were computed twice, such as {unneeded[0]}")
    return len(again)


def _commits(server: Cluster) -> int:
    with psycopg.connect(server.url.replace("+psycopg", "")) as db:
        row = db.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").fetchone()
    return int(row[0]) if row else 0


def _at(values: list[float], share: float) -> float:
    """A quantile of sorted values."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0

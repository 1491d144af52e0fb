"""`merrflow worker` processes on one dataset, each with services of its own, and how fast they get through it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.support.fixed_services import Pace, Running, fixed_services
from benchmarks.support.process_tree import run_tree
from benchmarks.support.processes import MERRFLOW, cpu_seconds
from merrflow_serving.catalog import SERVICES
from tests.ports import free_port
from tests.postgres import Cluster
from tests.prefect_server import prefect_server

PLACES = 3  # flow runs at once on a worker: one waits for its shards, and while one shard starts, another is at work
STOP_SECONDS = 90.0
STEADY = (0.1, 0.9)  # shares of the clips between which the pace is taken: without start and end


@dataclass(frozen=True)
class Dataset:
    """What is to be done."""

    clips: Path
    table: Path  # of their sentences
    frames: int  # of a clip
    count: int
    shard: int  # clips


def pooled(place: Path, data: Dataset, server: Cluster, workers: int, paces: Mapping[str, Pace]) -> dict[str, Any]:
    """The dataset by so many workers. paces: of the services of each worker."""
    place.mkdir()
    (place / "settings.yaml").write_text(f"shard_size: {data.shard}\n")
    with ExitStack() as stack:
        url = stack.enter_context(prefect_server(place / "prefect"))
        common = {"PREFECT_API_URL": url, "MERRFLOW_LEDGER_URL": server.url}
        services: list[dict[str, Running]] = []
        processes = []
        for number in range(workers):
            folder = place / f"worker-{number}"
            folder.mkdir()
            services.append(stack.enter_context(fixed_services(folder, dict(paces), frames=data.frames)))
            addresses = {f"{SERVICES[name].env_prefix}ADDRESS": one.address for name, one in services[-1].items()}
            processes.append(stack.enter_context(_worker(folder, common | addresses)))
        for number in range(workers):
            _until_started(place / f"worker-{number}/log", processes[number])
        out = str(place / "out")
        command = (*MERRFLOW, "run", str(data.clips), "--out", out, "--server", "--transcripts", str(data.table))
        command = (*command, "--config", str(place / "settings.yaml"))
        took = run_tree(command, environment=os.environ | common)
        cpu = sum(cpu_seconds(process.pid) for process in processes)
        shares = [{name: one.stop() for name, one in of_worker.items()} for of_worker in services]
    ends = _ends(server, place / "out")
    first, last = (ends[int(share * (len(ends) - 1))] for share in STEADY)
    done = {"workers": workers, "clips": len(ends), "seconds": took.seconds, "load": os.getloadavg()[0]}
    return done | {
        "clips_per_minute": len(ends) / took.seconds * 60,
        "steady_clips_per_minute": (STEADY[1] - STEADY[0]) * (len(ends) - 1) / (last - first) * 60,
        "of_ceiling": [of["llama3"].share_of_ceiling(paces["llama3"]) for of in shares],
        "llama3_calls": [of["llama3"].items for of in shares],
        "workers_cpu_ms_a_clip": cpu / len(ends) * 1000,
    }


@contextmanager
def _worker(folder: Path, settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    own = {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_WORKER_WEBSERVER_PORT": str(free_port())}
    with (folder / "log").open("wb") as log:
        command = [*MERRFLOW, "worker", "--limit", str(PLACES), "--reports-port", "0"]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | settings | own)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_started(log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while "started!" not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"a worker does not start; see {log}")
        time.sleep(0.2)


def _ends(server: Cluster, out: Path) -> list[float]:
    """When each clip was finished, in seconds, ascending. Raises `RuntimeError` if one was not, or twice."""
    schema = json.loads((out / "ledger.json").read_text())["schema"]
    with psycopg.connect(server.url.replace("+psycopg", "")) as db:
        rows = db.execute(
            f"SELECT c.name, c.outcome, s.attempts, extract(epoch FROM s.finished_at) FROM {schema}.clips c "
            f"LEFT JOIN {schema}.stages s ON s.clip = c.name AND s.stage = 'record' ORDER BY 4"
        ).fetchall()
    if wrong := [row for row in rows if row[1:3] != ("done", 1)]:
        raise RuntimeError(f"{len(wrong)} clips are not done, or were done twice, such as {wrong[0]}")
    if len({row[0] for row in rows}) != len(rows):
        raise RuntimeError("a clip has two records")
    return [float(row[3]) for row in rows]

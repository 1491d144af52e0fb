"""How long `merrflow run` takes to begin, with services that are up and answer at once.

    python -m benchmarks.start                # three runs, each into a folder of its own
    python -m benchmarks.start --clips 1

The first run finds no server of Prefect's, and starts one; the others find the one that it left (with another
PREFECT_HOME, so that no server of the user's is found). Each line: seconds from the start of the process to the first
and the last clip's outcome in the ledger and to the end of the process, the process's CPU seconds until the first
outcome, those of it and its children until the end, and the machine's load.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.support.fixed_services import ENGINES, Pace, fixed_services
from benchmarks.support.made_up_dataset import make_clips
from benchmarks.support.processes import MERRFLOW, own_cpu_seconds
from merrflow_serving.catalog import SERVICES

QUERY = "SELECT count(*) FROM clips WHERE outcome IS NOT NULL"
AT_ONCE = Pace(0.001, 16)


def outcomes(ledger: Path) -> int:
    """Clips with an outcome so far."""
    try:
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=5)) as database:
            return int(database.execute(QUERY).fetchone()[0])
    except sqlite3.Error:  # there is none yet
        return 0


def one_run(clips: Path, out: Path, count: int, environment: dict[str, str]) -> dict[str, float]:
    """`merrflow run` as a process. Raises `RuntimeError` if it fails."""
    command = [*MERRFLOW, "run", str(clips), "--out", str(out)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    first = first_cpu = last = 0.0
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=out.parent)
        while process.poll() is None:
            time.sleep(0.02)
            done = 0 if last else outcomes(out / "ledger.db")
            if done and not first:
                first, first_cpu = time.monotonic() - started, own_cpu_seconds(process.pid)
            last = last or (time.monotonic() - started if done == count else 0.0)
        ended = time.monotonic() - started
        output.seek(0)
        if process.returncode:
            raise RuntimeError(output.read().decode(errors="replace")[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = {"first": first, "first_cpu": first_cpu, "last": last, "end": ended, "cpu": cpu, "load": os.getloadavg()[0]}
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="merrflow-benchmark-") as name:
        folder = Path(name)
        make_clips(folder / "clips", options.clips)
        with fixed_services(folder, dict.fromkeys(ENGINES, AT_ONCE)) as running:
            own = {f"{SERVICES[name].env_prefix}ADDRESS": one.address for name, one in running.items()}
            own |= {"PREFECT_HOME": str(folder / "prefect")}
            others = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
            for number in range(options.runs):
                out = folder / f"out-{number}"
                found.append(one_run(folder / "clips", out, options.clips, others | own))
                print("  ".join(f"{name} {value:5.2f}" for name, value in found[-1].items()), flush=True)
    print(json.dumps({"benchmark": "start", "clips": options.clips, "runs": found}))


if __name__ == "__main__":
    main()

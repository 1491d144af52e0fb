"""How long `merrflow run` takes to begin, with services that are up; and how long its first clip then takes.

    python -m benchmarks.start                # three runs, each into a folder of its own
    python -m benchmarks.start --clips 1
    python -m benchmarks.start --part first   # one clip alone, and the first of 500, with models of 300 ms

begin: the services answer at once.
The first run finds no server of Prefect's, and starts one; the others find the one that it left (with another
PREFECT_HOME, so that no server of the user's is found). Each line: seconds from the start of the process to the first
and the last clip's outcome in the ledger and to the end of the process, the process's CPU seconds until the first
outcome, those of it and its children until the end, and the machine's load.
first: the own path of a clip is what it takes alone in a run, from the start of its first stage to its outcome, both as
the ledger has them. Of a run of many clips it is the time from the start of any clip's first stage to the first
outcome; then the run is stopped. Copies of a real clip; a table gives their sentences. Before them, one run of one clip
is not counted.
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
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.support.fixed_services import ENGINES, Pace, fixed_services
from benchmarks.support.made_up_dataset import make_clips
from benchmarks.support.processes import MERRFLOW, own_cpu_seconds
from merrflow_serving.catalog import SERVICES
from merrflow_serving.media.video import iter_frames

QUERY = "SELECT count(*) FROM clips WHERE outcome IS NOT NULL"
# Seconds from the start of the first stage of any clip to the first outcome (Julian days are fractions of a day).
SPAN = """
    SELECT 86400 * (min(julianday(finished_at)) FILTER (WHERE stage = 'record')
        - min(julianday(finished_at) - seconds / 86400) FILTER (WHERE stage != 'record'))
    FROM stages
"""
AT_ONCE = Pace(0.001, 16)
LATENCY = Pace(0.3, 16)
FIRST_LIMIT = 2.0  # times its own path
FILM = Path(__file__).parents[1] / "examples/clips/surprise_visit.mp4"  # 640x360, 3.4 s


def outcomes(ledger: Path) -> int:
    """Clips with an outcome so far."""
    try:
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=5)) as database:
            return int(database.execute(QUERY).fetchone()[0])
    except sqlite3.Error:  # there is none yet
        return 0


def one_run(
    clips: Path, out: Path, count: int, environment: dict[str, str], *more: str, stop: bool = False
) -> dict[str, float]:
    """`merrflow run` as a process. more: of its arguments. stop: once a clip has its outcome. Raises `RuntimeError` if
    it fails."""
    command = [*MERRFLOW, "run", str(clips), "--out", str(out), *more]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    first = first_cpu = last = 0.0
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=out.parent)
        while process.poll() is None:
            time.sleep(0.02)
            done = 0 if last else outcomes(out / "ledger.db")
            if done and not first:
                first, first_cpu = time.monotonic() - started, own_cpu_seconds(process.pid)
                if stop:
                    process.terminate()
            last = last or (time.monotonic() - started if done == count else 0.0)
        ended = time.monotonic() - started
        output.seek(0)
        if process.returncode and not (stop and first):
            raise RuntimeError(output.read().decode(errors="replace")[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = {"first": first, "first_cpu": first_cpu, "last": last, "end": ended, "cpu": cpu, "load": os.getloadavg()[0]}
    return {name: round(value, 3) for name, value in found.items()}


def first_of_all(ledger: Path) -> float:
    """Seconds from the start of the first stage to the first outcome."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
        return float(database.execute(SPAN).fetchone()[0])


@contextmanager
def serving(folder: Path, pace: Pace, *, frames: int = 12) -> Iterator[dict[str, str]]:
    """The environment of runs over services of this pace."""
    with fixed_services(folder, dict.fromkeys(ENGINES, pace), frames=frames) as running:
        own = {f"{SERVICES[name].env_prefix}ADDRESS": one.address for name, one in running.items()}
        own |= {"PREFECT_HOME": str(folder / "prefect")}
        yield {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | own


def begin(folder: Path, clips: int, runs: int) -> list[dict[str, float]]:
    """A row for each run."""
    make_clips(folder / "clips", clips)
    found = []
    with serving(folder, AT_ONCE) as environment:
        for number in range(runs):
            found.append(one_run(folder / "clips", folder / f"out-{number}", clips, environment))
            print("  ".join(f"{name} {value:5.2f}" for name, value in found[-1].items()), flush=True)
    return found


def first(folder: Path, clips: int, runs: int) -> dict[str, Any]:
    """The first clip of many beside one alone, in turns."""
    frames = sum(1 for _ in iter_frames(FILM))
    for name, count in (("one", 1), ("many", clips)):
        make_clips(folder / name, count, film=FILM)
    table = folder / "transcripts.csv"
    table.write_text("name,sentence\n" + "".join(f"clip_{number:05},What a day.\n" for number in range(clips)))
    rows = []
    with serving(folder, LATENCY, frames=frames) as environment:
        for number in range(runs + 1):
            row: dict[str, float] = {}
            for name, count in (("one", 1), ("many", clips)):
                if number or name == "one":
                    out = folder / f"out-{name}-{number}"
                    one_run(folder / name, out, count, environment, "--transcripts", str(table), stop=count > 1)
                    row[name] = round(first_of_all(out / "ledger.db"), 3)
            if number:
                rows.append(row | {"times": round(row["many"] / row["one"], 2), "load": os.getloadavg()[0]})
                print("  ".join(f"{name} {value:5.2f}" for name, value in rows[-1].items()), flush=True)
    times = median(row["times"] for row in rows)
    print(f"first: {times:.2f} times its own path; limit {FIRST_LIMIT:g}")
    return {"clips": clips, "times": times, "limit": FIRST_LIMIT, "runs": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("begin", "first"), default="begin")
    parser.add_argument("--clips", type=int, default=0, help="default: 20, and 500 for first")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="merrflow-benchmark-") as name:
        if options.part == "begin":
            clips = options.clips or 20
            found: dict[str, Any] = {"clips": clips, "runs": begin(Path(name), clips, options.runs)}
        else:
            found = first(Path(name), options.clips or 500, options.runs)
    print(json.dumps({"benchmark": "start", "part": options.part} | found))


if __name__ == "__main__":
    main()

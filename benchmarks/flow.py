"""What the flow itself costs, and whether it keeps the services busy.

    python -m benchmarks.flow                              # all three parts at full size: about an hour
    python -m benchmarks.flow --part busy --clips 600 --rate 5
    python -m benchmarks.flow --part rerun --clips 70000

busy: `merrflow run` over the four services as processes, whose engines take a fixed time for a batch, however full
(support/fixed_services.py). The clips are one film many times (`--film`, or `tiny`: 96x64, which costs little to read),
with a few different bytes after it. A table names their sentences, so that no picture is read for text. The slowest
service is llama3.
memory: the peak memory of `merrflow run` with 200 clips to do, once in a dataset of 1,000 clips and once in one of
70,000, whose other clips are finished; their ledger is written directly (support/made_up_dataset.py).
rerun: `merrflow run` over a dataset in which everything is finished, without services.

Everything is measured on `merrflow run` as a process. On a shared machine, use the CPU seconds and the ratios; wall
time depends on the load printed next to it. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.support.fixed_services import ENGINES, Noted, Pace, fixed_services
from benchmarks.support.made_up_dataset import embedded, fill, fixed, keys_for, make_clips
from benchmarks.support.processes import MERRFLOW, own_cpu_seconds, peak_mib
from merrflow_serving.catalog import SERVICES
from merrflow_serving.media.video import iter_frames

BUSY_LIMIT = 0.95  # of the slowest service's ceiling
RERUN_LIMIT = 5.0  # seconds
MEMORY_LIMIT = 1.5  # times the memory of a dataset of 1,000
TO_DO = 200  # clips, where memory is measured
CALLS = 2  # of llama3 for a clip: its label's scores, and its text
BATCH = 16
FILM = Path(__file__).parents[1] / "examples/clips/surprise_visit.mp4"  # 640x360, 3.4 s


@dataclass(frozen=True)
class Ran:
    """One `merrflow run`."""

    seconds: float  # wall
    cpu_seconds: float  # of its own process; Prefect's server is another
    peak_mib: float  # resident memory of its own process
    load: float  # of the machine, at its end
    printed: str  # its output


def merrflow_run(
    folder: Path,
    out: Path,
    addresses: dict[str, str] | None = None,
    *more: str,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Ran:
    """`merrflow run FOLDER --out OUT` as a process. more: of its arguments. settings: more environment variables.
    Raises `RuntimeError` if it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_ADDRESS")} | dict(settings)
    for name, address in (addresses or {}).items():
        environment[f"{SERVICES[name].env_prefix}ADDRESS"] = address
    command = [*MERRFLOW, "run", str(folder), "--out", str(out), *more]
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        cpu = peak = 0.0
        try:
            while process.poll() is None:
                cpu, peak = max(cpu, own_cpu_seconds(process.pid)), max(peak, peak_mib(process.pid))
                time.sleep(0.1)
        finally:  # no effect if it has ended; otherwise the benchmark was interrupted
            process.terminate()
        seconds = time.monotonic() - started
        output.seek(0)
        printed = output.read().decode(errors="replace")
    if process.returncode:
        raise RuntimeError(f"merrflow run ended with {process.returncode}:\n{printed[-2000:]}")
    return Ran(seconds, cpu, peak, os.getloadavg()[0], printed.strip())


def paces(rate: float) -> dict[str, Pace]:
    """llama3 takes `rate` clips a second; each of the others 1.5 times as many, in one batch a second. A rate of 0: all
    take no time, so that the flow is the slowest."""
    if not rate:
        return dict.fromkeys(ENGINES, Pace(0.0, 4 * BATCH))
    others = Pace(1.0, max(BATCH, round(1.5 * rate)))
    return {name: others for name in ENGINES} | {"llama3": Pace(BATCH / (rate * CALLS), BATCH)}


def busy(folder: Path, clips: int, rate: float, film: Path | None) -> dict[str, Any]:
    """`clips` clips through services of which the slowest takes `rate` clips a second. film: None for a tiny one."""
    chosen = paces(rate)
    make_clips(folder / "clips", clips, film=film)
    frames = sum(1 for _ in iter_frames(folder / "clips" / "clip_00000.mp4"))
    table = folder / "transcripts.csv"
    table.write_text("name,sentence\n" + "".join(f"clip_{number:05},What a day.\n" for number in range(clips)))
    with fixed_services(folder, chosen, frames=frames) as running:
        addresses = {name: one.address for name, one in running.items()}
        ran = merrflow_run(folder / "clips", folder / "out", addresses, "--transcripts", str(table))
        noted: dict[str, Noted] = {name: one.stop() for name, one in running.items()}
    print(ran.printed.splitlines()[-3] if len(ran.printed.splitlines()) > 2 else ran.printed)
    for name, one in noted.items():
        print(
            f"  {name:12} {one.items:6} items, {one.items / one.batches:4.1f} a batch, busy {one.share_busy():6.1%}, "
            f"of its ceiling {one.share_of_ceiling(chosen[name]):6.1%}"
        )
    reached = noted["llama3"].share_of_ceiling(chosen["llama3"])
    print(f"busy: {reached:.1%} of the slowest service's ceiling; limit {BUSY_LIMIT:.0%}")
    print(f"      {ran.cpu_seconds / clips * 1000:.0f} ms CPU a clip, {ran.peak_mib:.0f} MiB, load {ran.load:.1f}")
    print(f"      {clips / ran.seconds * 60:.0f} clips a minute, start and end included")
    return {
        "clips": clips,
        "rate": rate,
        "film": film.name if film else "tiny",
        "frames": frames,
        "of_ceiling": reached,
        "at_work": noted["llama3"].share_busy(),
        "limit": BUSY_LIMIT,
        "cpu_ms_a_clip": ran.cpu_seconds / clips * 1000,
        "services_cpu_ms_a_clip": sum(one.cpu_seconds for one in noted.values()) / clips * 1000,
        "run": _numbers(ran),
    }


def memory(folder: Path, few: int, many: int) -> dict[str, Any]:
    """Peak memory with TO_DO clips to do, in a dataset of `few` and in one of `many` clips."""
    peaks, runs = {}, {}
    chosen = paces(20.0)
    for clips in (few, many):
        place = folder / str(clips)
        make_clips(place / "clips", clips)
        fill(place / "out", place / "clips", keys_for(fixed()), finished=clips - TO_DO)
        with fixed_services(place, chosen) as running:
            ran = merrflow_run(place / "clips", place / "out", {name: one.address for name, one in running.items()})
            done = running["llama3"].stop().items
        if done != CALLS * TO_DO:
            raise RuntimeError(
                f"of {clips} clips {done / CALLS:g} were done, not {TO_DO}: the ledger differs from a run's"
            )
        peaks[clips], runs[clips] = ran.peak_mib, _numbers(ran)
        print(f"memory: {clips} clips, {TO_DO} to do: {ran.peak_mib:.0f} MiB, {ran.cpu_seconds:.1f} s CPU")
    ratio = peaks[many] / peaks[few]
    print(f"memory: {ratio:.2f} times as much; limit {MEMORY_LIMIT}")
    return {"ratio": ratio, "limit": MEMORY_LIMIT, "runs": runs}


def rerun(folder: Path, clips: int) -> dict[str, Any]:
    """A run over finished clips: once before the outputs are written, then twice after."""
    make_clips(folder / "clips", clips)
    fill(folder / "out", folder / "clips", keys_for(embedded()), finished=clips)
    first, *again = (merrflow_run(folder / "clips", folder / "out") for _ in range(3))
    best = min(again, key=lambda ran: ran.seconds)
    print(f"rerun: {clips} clips; with outputs to write {first.seconds:.1f} s, {first.cpu_seconds:.1f} s CPU")
    print(
        f"rerun: nothing to do: {best.seconds:.1f} s, {best.cpu_seconds:.1f} s CPU, {best.peak_mib:.0f} MiB at load "
        f"{best.load:.1f}; limit {RERUN_LIMIT:g} s"
    )
    return {"clips": clips, "limit": RERUN_LIMIT, "first": _numbers(first), "again": [_numbers(ran) for ran in again]}


def main() -> None:
    options = _options()
    found: dict[str, Any] = {"benchmark": "flow", "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    parts = options.part or ["busy", "memory", "rerun"]
    with tempfile.TemporaryDirectory(prefix="merrflow-benchmark-") as name:
        place = Path(name)
        for part in parts:
            (place / part).mkdir()
            if part == "busy":
                found[part] = busy(place / part, options.clips or 10_000, options.rate, _film(options.film))
            elif part == "memory":
                found[part] = memory(place / part, 1_000, options.clips or 70_000)
            else:
                found[part] = rerun(place / part, options.clips or 70_000)
    print(json.dumps(found, default=lambda value: round(value, 4)))


def _numbers(ran: Ran) -> dict[str, float]:
    return {name: round(value, 3) for name, value in asdict(ran).items() if name != "printed"}


def _film(given: str) -> Path | None:
    return None if given == "tiny" else Path(given)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("busy", "memory", "rerun"), action="append", help="default: all")
    parser.add_argument("--clips", type=int, default=0, help="default: 10,000 for busy, 70,000 for memory and rerun")
    parser.add_argument(
        "--rate", type=float, default=5.0, help="clips a second of the slowest service; 0: no limit; default: 5"
    )
    parser.add_argument(
        "--film",
        default=str(FILM),
        help=f"an mp4 file, or `tiny` (96x64, 12 frames); default: {FILM.name} of the examples",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()

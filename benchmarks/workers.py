"""How far several workers go on one dataset, and what a dataset of a million clips costs.

    python -m benchmarks.workers                            # all three parts at full size: about an hour
    python -m benchmarks.workers --part pair --clips 640 --rate 3
    python -m benchmarks.workers --part ledger --workers 16 --rate 8
    python -m benchmarks.workers --part large --clips 1000000 --ledger sqlite

pair: one `merrflow worker`, then two, over the same clips with a Prefect server and PostgreSQL, all processes. Each
worker has four services of its own, whose engines take a fixed time for a batch (support/fixed_services.py): as on two
machines with a card each.
ledger: processes that do to PostgreSQL what a worker does for each clip, at a worker's speed
(support/ledger_client.py). Afterwards the ledger must hold everything once. `--faults` kills one of them, and restarts
PostgreSQL, in the middle.
large: the ledger of a finished dataset of that many clips (support/large_ledger.py), and what it costs to open it.

PostgreSQL is started here (apt-get install postgresql), with fsync. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.flow import FILM, merrflow_run, paces
from benchmarks.support.large_ledger import fill_large, is_described, make_empty_clips, make_pictures
from benchmarks.support.ledger_load import Load, load
from benchmarks.support.made_up_dataset import embedded, keys_for, make_clips
from benchmarks.support.pool import Dataset, pooled
from benchmarks.support.process_tree import run_tree
from benchmarks.support.processes import MERRFLOW, cpu_seconds
from merrflow_serving.media.video import iter_frames
from tests.postgres import Cluster

PARTS = ("pair", "ledger", "large")
LIMIT = 1.9  # times the pace of one worker
SHARD = 256  # clips; the default of `shard_size`


@contextmanager
def database() -> Iterator[Cluster]:
    """A PostgreSQL server that keeps what it has committed, as one that people set up."""
    cluster = Cluster("")
    try:
        yield cluster
    finally:
        cluster.remove()


def pair(place: Path, clips: int, shard: int, rate: float, film: Path | None) -> dict[str, Any]:
    """One worker, then two, over the same clips. rate: clips a second of the slowest service of each worker. film: None
    for a tiny one."""
    make_clips(place / "clips", clips, film=film)
    frames = sum(1 for _ in iter_frames(place / "clips/clip_00000.mp4"))
    table = place / "transcripts.csv"
    table.write_text("name,sentence\n" + "".join(f"clip_{number:05},What a day.\n" for number in range(clips)))
    data = Dataset(place / "clips", table, frames, clips, shard)
    with database() as server:
        one, two = (pooled(place / str(workers), data, server, workers, paces(rate)) for workers in (1, 2))
    for found in (one, two):
        print(f"pair: {found}")
    steady, whole = (two[name] / one[name] for name in ("steady_clips_per_minute", "clips_per_minute"))
    print(f"pair: two workers reach {steady:.2f} times one; limit {LIMIT}. Start and end included {whole:.2f}")
    return {"ratio": steady, "limit": LIMIT, "ratio_with_start_and_end": whole, "rate": rate, "shard": shard} | {
        "one": one,
        "two": two,
    }


def ledger(place: Path, what: Load) -> dict[str, Any]:
    """So many processes on one ledger."""
    with database() as server:
        found = load(place, server, what)
    print("ledger: " + ", ".join(f"{name} {value:.4g}" for name, value in found.items()))
    return found


def large(place: Path, clips: int, kind: str) -> dict[str, Any]:
    """What it costs to open and read the ledger of that many finished clips. kind: "sqlite" or "postgresql"."""
    paths = make_empty_clips(place / "clips", clips)
    out = place / "out"
    make_pictures(out / "peaks", [path.stem for number, path in enumerate(paths) if is_described(number)])
    found: dict[str, Any] = {"clips": clips, "ledger": kind}
    if kind == "sqlite":
        fill_large(out, paths, keys_for(embedded()))
        found["gib"] = (out / "ledger.db").stat().st_size / 2**30
        return found | _costs(place, clips, {}, None)
    with database() as server:
        fill_large(out, paths, keys_for(embedded()), server.url)
        found["gib"] = sum(file.stat().st_size for file in server.folder.glob("data/base/**/*")) / 2**30
        return found | _costs(place, clips, {"MERRFLOW_LEDGER_URL": server.url}, server)


def _costs(place: Path, clips: int, settings: dict[str, str], server: Cluster | None) -> dict[str, Any]:
    out, folder = str(place / "out"), place / "clips"
    shard = (sys.executable, "-m", "benchmarks.support.large_ledger", "shard", out, str(clips), str(SHARD))
    found: dict[str, Any] = {}
    for name, command in (("shard", shard), ("status", (*MERRFLOW, "status", "--out", out))):
        before = cpu_seconds(server.pid) if server else 0.0
        took = run_tree(command, environment=os.environ | settings)
        found[name] = {"s": round(took.seconds, 2), "cpu_s": round(took.cpu_seconds, 2), "mib": round(took.own_mib)}
        found[name] |= {"server_cpu_s": cpu_seconds(server.pid) - before} if server else {}
        if name == "shard":
            found[name] |= json.loads(took.printed.splitlines()[-1])
        print(f"large: {clips} clips, {name}: {found[name]}", flush=True)
    for name in ("outputs", "rerun"):
        before = cpu_seconds(server.pid) if server else 0.0
        ran = merrflow_run(folder, place / "out", settings=settings)
        found[name] = {"s": ran.seconds, "cpu_s": ran.cpu_seconds, "mib": ran.peak_mib}
        found[name] |= {"server_cpu_s": cpu_seconds(server.pid) - before} if server else {}
        print(f"large: {clips} clips, {name}: {found[name]}", flush=True)
    return found


def main() -> None:
    options = _options()
    found: dict[str, Any] = {"benchmark": "workers", "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(prefix="merrflow-benchmark-") as name:
        for part in options.part or PARTS:
            place = Path(name, part)
            place.mkdir()
            if part == "pair":
                film = None if options.film == "tiny" else Path(options.film)
                found[part] = pair(place, options.clips or 1_280, options.shard or 64, options.rate or 3.0, film)
            elif part == "ledger":
                clips = options.clips or options.workers * 240
                what = Load(options.workers, clips, options.shard or 40, options.rate or 8.0, faults=options.faults)
                found[part] = ledger(place, what)
            else:
                found[part] = large(place, options.clips or 1_000_000, options.ledger)
    print(json.dumps(found, default=lambda value: round(value, 4)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")
    parser.add_argument("--clips", type=int, default=0, help="default: 1,280; 240 a process; 1,000,000")
    parser.add_argument("--shard", type=int, default=0, help="clips of a shard; default: 64; 40")
    parser.add_argument("--rate", type=float, default=0.0, help="clips a second of a worker; default: 3; 8")
    parser.add_argument(
        "--film", default="tiny", help=f"of the part pair: an mp4 file such as {FILM.name}; default: tiny"
    )
    parser.add_argument("--workers", type=int, default=16, help="of the part ledger; default: 16")
    parser.add_argument(
        "--faults", action="store_true", help="in the part ledger, kill a process and restart PostgreSQL"
    )
    parser.add_argument("--ledger", choices=("sqlite", "postgresql"), default="postgresql", help="of the part large")
    return parser.parse_args()


if __name__ == "__main__":
    main()

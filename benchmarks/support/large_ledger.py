"""A finished dataset of a million clips whose rows are written directly, and what its ledger costs those who open it.

    python -m benchmarks.support.large_ledger shard OUT CLIPS 256     # what a shard asks, before its first clip

The clips are empty files, so that they fill no disk; the hashes of their bytes are made up. Records are whole,
with curves, because outputs and status read them; the other stages' results are small, because nothing reads them here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.support.made_up_dataset import DESCRIBED, LABELS, pattern_record
from merrflow.core.measurements import Clip
from merrflow.core.settings_file import load_settings
from merrflow.datasets.entries import RECORDS
from merrflow.pipeline.cache_keys import CacheKeys
from merrflow.pipeline.open_session import open_shard
from merrflow.pipeline.request import Request
from merrflow.store import RECORD, Ledger
from merrflow_serving.media.images import encode_jpeg

FOLDER = 10_000  # clips of one folder
BEFORE = ("probe", "action_units")  # stages of every clip
DESCRIBING = ("subtitle", "scene", "tone", "score_all", "reasoning")  # of those with a record
_LINKS = 60_000  # names of one file; ext4 allows 65,000
_CLIP = "name path size mtime_ns sha256 sentence label fingerprint outcome reason retry".split()  # noqa: SIM905
_STAGE = "clip stage fingerprint outcome reason retry attempts payload seconds finished_at schema_version".split()  # noqa: SIM905
Row = tuple[Any, ...]


def make_empty_clips(folder: Path, count: int) -> list[Path]:
    """`count` empty files named *.mp4, in order of name."""
    paths = []
    for number in range(count):
        within = folder / f"{number // FOLDER:03}"
        if number % FOLDER == 0:
            within.mkdir(parents=True)
        path = within / f"clip_{number:07}.mp4"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        paths.append(path)
    return paths


def make_pictures(folder: Path, names: list[str]) -> None:
    """A picture for each name, of which many are one file."""
    import numpy as np

    folder.mkdir(parents=True)
    content, source = encode_jpeg(np.zeros((64, 96, 3), np.uint8)), folder
    for number, name in enumerate(names):
        path = folder / f"{name}.jpg"
        if number % _LINKS == 0:
            source = path
            path.write_bytes(content)
        else:
            os.link(source, path)


def fill_large(out: Path, paths: list[Path], keys: CacheKeys, url: str = "") -> None:
    """Writes the ledger of `out`, in which all these clips are finished under these keys. url: of PostgreSQL."""
    out.mkdir(parents=True, exist_ok=True)
    with closing(Ledger.in_folder(out, url)) as ledger:
        location = ledger.location
        (_fill_postgres if location.is_shared else _fill_sqlite)(ledger, _rows(paths, keys))
        ledger.register([], {})  # makes the index that a run makes


def is_described(number: int) -> bool:
    """Whether the clip of this number has a record: MERR's share, evenly."""
    return int((number + 1) * DESCRIBED) > int(number * DESCRIBED)


def _rows(paths: list[Path], keys: CacheKeys) -> Iterator[tuple[Row, list[Row]]]:
    """Of each clip its row in `clips`, and its rows in `stages`."""
    now = datetime.now(UTC)
    small = zlib.compress(json.dumps({"value": None, "origin": None, "note": "made up " * 30}).encode())
    blank = replace(pattern_record(4.0), name="@name", path="@path", sha256="@sha256")
    patterns = [RECORDS.dump_json(replace(blank, label=replace(blank.label, label=label))) for label in LABELS]
    for number, path in enumerate(paths):
        name, stat, sha256 = path.stem, path.stat(), f"{number:064x}"
        key = keys.of_record(Clip(name, path, sha256))
        described = is_described(number)
        outcome, reason, payload = "skipped", "no face in any frame", b""
        if described:
            outcome, reason = "done", ""
            text = (
                patterns[number % len(patterns)].replace(b"@name", name.encode()).replace(b"@sha256", sha256.encode())
            )
            payload = zlib.compress(text.replace(b"@path", str(path).encode()), 1)
        clip = (name, str(path), stat.st_size, stat.st_mtime_ns, sha256, None, None, key, outcome, reason, False)
        own = [(RECORD, key, outcome, reason, payload)]
        own += [(stage, key, "done", "", small) for stage in (*BEFORE, *(DESCRIBING if described else ()))]
        yield clip, [(name, *row[:4], False, 1, row[4], 1.0, now, 1) for row in own]


def _fill_sqlite(ledger: Ledger, rows: Iterator[tuple[Row, list[Row]]]) -> None:
    def put(table: str, columns: list[str]) -> str:
        return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"

    clip, stage = put("clips", _CLIP), put("stages", _STAGE)
    with closing(sqlite3.connect(str(ledger.location))) as db, db:
        db.execute("PRAGMA synchronous=OFF")
        for one, own in rows:
            db.execute(clip, one)
            db.executemany(stage, [(*row[:9], row[9].strftime("%Y-%m-%d %H:%M:%S.%f"), row[10]) for row in own])


def _fill_postgres(ledger: Ledger, rows: Iterator[tuple[Row, list[Row]]]) -> None:
    url = ledger.location.url.set(drivername="postgresql").render_as_string(hide_password=False)
    # Two transactions at once, because a connection copies into one table at a time.
    with psycopg.connect(url) as clips, psycopg.connect(url) as stages:
        for db in (clips, stages):
            db.execute(f"SET search_path = {ledger.location.schema}")
            db.execute(
                "SET session_replication_role = replica"
            )  # else each row looks for its clip, which is not there yet
        with (
            clips.cursor().copy(f"COPY clips ({', '.join(_CLIP)}) FROM STDIN") as of_clips,
            stages.cursor().copy(f"COPY stages ({', '.join(_STAGE)}) FROM STDIN") as of_stages,
        ):
            for one, own in rows:
                of_clips.write_row(one)
                for row in own:
                    of_stages.write_row(row)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"SET search_path = {ledger.location.schema}")
        db.execute("VACUUM ANALYZE clips")
        db.execute("VACUUM ANALYZE stages")


def shard(out: Path, clips: int, count: int) -> dict[str, float]:
    """Seconds until a shard of `count` clips from the middle knows what it has to do, and of the question how far the
    whole run is."""
    names = [f"clip_{number:07}" for number in range(clips // 2, clips // 2 + count)]

    async def opened() -> int:
        async with open_shard(Request((), str(out)), names) as session:
            return len(session.todo)

    started = time.monotonic()
    todo = asyncio.run(opened())
    found = {"shard_s": time.monotonic() - started, "shard_todo": todo}
    with closing(Ledger.in_folder(out, load_settings().ledger_url, make=False)) as ledger:
        started = time.monotonic()
        ledger.outcomes()
        found["outcomes_s"] = time.monotonic() - started
    return found


def main() -> None:
    """Prints what a shard costs as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("shard",))
    parser.add_argument("out", type=Path)
    parser.add_argument("clips", type=int)
    parser.add_argument("count", type=int)
    options = parser.parse_args()
    print(json.dumps(shard(options.out, options.clips, options.count)))


if __name__ == "__main__":
    main()

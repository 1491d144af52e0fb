"""`benchmarks.workers`: its ledgers are as a run's, its processes do their work once, and what is wrong is found."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from benchmarks.support import ledger_client
from benchmarks.support.large_ledger import fill_large, is_described, make_empty_clips, make_pictures, shard
from benchmarks.support.ledger_load import Load, check, load
from benchmarks.support.made_up_dataset import embedded, keys_for
from benchmarks.workers import pair
from merrflow.cli.status import read_status
from merrflow.core.inputs import Found
from merrflow.store import GroupedWrites, Ledger
from merrflow.store.locks import locks_at
from tests.postgres import Cluster, NoPostgres


@pytest.fixture
def server() -> Iterator[Cluster]:
    """Of its own: it is restarted."""
    try:
        cluster = Cluster()
    except NoPostgres as error:
        pytest.skip(str(error))
    try:
        yield cluster
    finally:
        cluster.remove()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_large_ledger_is_finished_work(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    url = "" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    monkeypatch.setenv("MERRFLOW_LEDGER_URL", url)
    paths, out = make_empty_clips(tmp_path / "clips", 30), tmp_path / "out"
    described = {path.stem for number, path in enumerate(paths) if is_described(number)}
    make_pictures(out / "peaks", sorted(described))
    fill_large(out, paths, keys_for(embedded()), url)
    with closing(Ledger.in_folder(out, url)) as ledger:
        assert ledger.described() == described and 0 < len(described) < 30
        assert [name for name, _ in ledger.records()] == sorted(described)
        assert ledger.outcomes() == 30
    found = read_status(out)
    assert found["outcomes"] == {"done": len(described), "skipped": 30 - len(described)}
    assert sum(found["labels"].values()) == len(described)
    assert shard(out, 30, 5)["shard_todo"] == 0, "as a run with embedded engines would have finished it"


def test_every_result_is_written_once_and_a_lost_one_is_found(tmp_path: Path, server: Cluster) -> None:
    found = load(tmp_path, server, Load(workers=2, clips=12, shard=3, rate=0, at_once=4))
    assert found["done_again"] == 0 and found["clips_per_s"] > 0 and found["transactions_per_s"] > 0
    assert found["write_p99_ms"] >= found["write_p50_ms"] > 0 and found["server_cpu_ms_a_clip"] > 0
    names = sorted(path.stem for path in (tmp_path / "clips").iterdir())
    check(tmp_path, server, names, killed=None)
    with next(tmp_path.glob("*.done")).open("a") as file:
        file.write("clip_000001 scene\n")
    with pytest.raises(RuntimeError, match=r"1 results were computed twice, such as \('clip_000001', 'scene'\)"):
        check(tmp_path, server, names, killed=None)
    with psycopg.connect(server.url.replace("+psycopg", "")) as db:
        (schema,) = db.execute(
            "SELECT schema_name FROM information_schema.schemata WHERE schema_name ~ '^out_'"
        ).fetchone()
        db.execute(f"DELETE FROM {schema}.stages WHERE clip = 'clip_000002' AND stage = 'tone'")
    with pytest.raises(RuntimeError, match="of 96 results 1 are missing"):
        check(tmp_path, server, names, killed=None)


async def test_a_shard_whose_lock_is_free_for_a_moment_is_left_to_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart of the server, which ends all sessions: their locks are taken back soon."""
    monkeypatch.setattr(ledger_client, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(ledger_client, "LEFT_SECONDS", 1.0)
    out, found = tmp_path / "out", [Found(path) for path in make_empty_clips(tmp_path / "clips", 2)]
    out.mkdir()
    shards, journal = [[clip.path.stem for clip in found]], tmp_path / "done"
    (out / "shard-0.begun").touch()
    locks = locks_at(out)
    with (
        closing(Ledger.in_folder(out)) as ledger,
        ThreadPoolExecutor(1) as threads,
        GroupedWrites(ledger.write) as writes,
    ):
        ledger.register(found, {clip.path: clip.path.stem for clip in found})
        task = ledger_client.Task(str(out), "", shards, 0, 0, 1, str(journal), "")
        client = ledger_client.Client(task, ledger, threads, writes)
        with locks.hold("shard-0"):
            work = asyncio.create_task(client.work())
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.2)
        with locks.hold("shard-0", 1.0):
            await asyncio.sleep(1.2)
            assert not journal.read_text(), "its process lives"
        await asyncio.wait_for(work, 20)
        assert set(ledger.finished()) == set(shards[0]), "its process is gone"


@pytest.mark.slow
def test_a_killed_process_and_a_restarted_server_lose_nothing(tmp_path: Path, server: Cluster) -> None:
    """What the killed one has left goes on elsewhere, and only what it had in its hands is done again."""
    what = Load(workers=3, clips=45, shard=5, rate=6, at_once=8, faults=True)
    assert 0 <= load(tmp_path, server, what)["done_again"] <= what.at_once


@pytest.mark.slow
def test_two_workers_share_a_dataset(tmp_path: Path) -> None:
    try:
        found = pair(tmp_path, clips=12, shard=2, rate=2.0, film=None)
    except NoPostgres as error:
        pytest.skip(str(error))
    assert found["one"]["clips"] == found["two"]["clips"] == 12
    assert all(calls > 0 for calls in found["two"]["llama3_calls"]), "each worker did a part"
    assert found["ratio"] > 0 and found["ratio_with_start_and_end"] > 0

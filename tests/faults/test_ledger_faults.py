"""A ledger that is locked, damaged, of a newer version, or written while the clock is set back."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from merrflow.core.errors import InputError
from merrflow.core.inputs import Found
from merrflow.core.records import Outcome
from merrflow.datasets.outputs import Summary
from merrflow.flow.run import annotate_request
from merrflow.pipeline.request import Request
from merrflow.pipeline.session import Session
from merrflow.store import Ledger, StageRow, database, existing_ledger, run_queries
from merrflow.store import transactions as store
from merrflow.store.database_retries import LedgerGone
from tests.faults.processes_checks import assert_whole
from tests.faults.surroundings import assert_kept, done_rows
from tests.orchestrator.fakes import calls, fake_services

NAMES = [f"c{number}" for number in range(6)]
LOCK = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
"""


pytestmark = pytest.mark.usefixtures("no_prefect")


async def annotate(clips: Path, out: Path, on_clip=None, **settings: object) -> Summary:
    async with fake_services() as addresses:
        values = {"label_scores": "none", "clips_at_once": 1} | addresses | settings
        request = Request((str(clips),), str(out), overrides=values)

        def on_start(session: Session) -> None:
            if on_clip:
                session.clip_finished.connect(lambda name, outcome: on_clip(name))

        return await annotate_request(request, on_start=on_start)


def lock(out: Path, seconds: float) -> subprocess.Popen[bytes]:
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCK, str(out / "ledger.db"), str(seconds)], stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"locked\n"
    return holder


@pytest.mark.slow
async def test_a_lock_that_outlasts_sqlites_own_patience_is_waited_for(tmp_path, clips, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 1)
    holders = []

    def on_clip(name: str) -> None:
        if not holders:
            holders.append(lock(tmp_path / "out", 4))

    summary = await annotate(clips, tmp_path / "out", on_clip)
    holders[0].wait()
    assert summary.outcomes == {"done": len(NAMES)}
    assert_whole(tmp_path / "out", NAMES)
    assert max(calls.values()) == len(NAMES), "no call was made twice"


async def test_a_lock_beyond_the_patience_stops_the_run_and_the_next_one_finishes(tmp_path, clips, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 1)
    monkeypatch.setattr(store, "PATIENCE_SECONDS", 1.5)
    holders = []

    def on_clip(name: str) -> None:
        if not holders:
            holders.append(lock(tmp_path / "out", 60))

    with pytest.raises(LedgerGone, match=r"away or locked for .* database is locked; run the same command again"):
        await annotate(clips, tmp_path / "out", on_clip)
    holders[0].kill()
    holders[0].wait()
    rows = done_rows(tmp_path / "out")
    assert rows
    assert (await annotate(clips, tmp_path / "out")).outcomes == {"done": len(NAMES)}
    assert_kept(rows, done_rows(tmp_path / "out"))
    assert_whole(tmp_path / "out", NAMES)


@pytest.mark.parametrize("kind", ["no database", "a newer version", "a cut file", "a folder"])
async def test_a_ledger_that_cannot_be_used_is_named_and_left_alone(tmp_path, clips, kind):
    out = tmp_path / "out"
    out.mkdir()
    file = out / "ledger.db"
    if kind == "a folder":
        file.mkdir()
    elif kind == "no database":
        file.write_bytes(b"not a database, but quite some text " * 1000)
    else:
        made = Ledger.in_folder(out)
        made.close()
        with sqlite3.connect(file) as db:
            if kind == "a newer version":
                db.execute("INSERT INTO about VALUES (99)")
        db.close()
        if kind == "a cut file":
            file.write_bytes(file.read_bytes()[:6000])
    before = file.read_bytes() if file.is_file() else b""
    with pytest.raises(InputError, match=r"ledger\.db") as told:
        await annotate(clips, out)
    assert "newer merrflow" in str(told.value) if kind == "a newer version" else True
    if before:
        assert file.read_bytes() == before
    with pytest.raises(InputError, match=r"ledger\.db"):
        existing_ledger(out)


async def test_damage_that_shows_in_mid_run_stops_it_in_a_sentence(tmp_path, clips):
    out = tmp_path / "out"

    def on_clip(name: str) -> None:
        for file in (out / "ledger.db", out / "ledger.db-wal"):
            size = file.stat().st_size
            with file.open("r+b") as there:
                there.write(b"\x55" * size)

    with pytest.raises(LedgerGone, match=r"cannot be used .*ledger\.db"):
        await annotate(clips, out, on_clip)


async def test_a_damaged_result_is_noticed_and_only_its_clip_is_done_again(tmp_path, clips):
    out = tmp_path / "out"
    await annotate(clips, out)
    with sqlite3.connect(out / "ledger.db") as db:
        for clip, stage in (("c1", "record"), ("c2", "tone")):
            where = "WHERE clip = ? AND stage = ?"
            (payload,) = db.execute(f"SELECT payload FROM stages {where}", (clip, stage)).fetchone()
            db.execute(f"UPDATE stages SET payload = ? {where}", (payload[:-4] + b"\0\1\2\3", clip, stage))
    db.close()
    (out / "report.html").unlink()
    summary = await annotate(clips, out)
    assert (summary.unfinished, summary.complete) == (1, False), "c1 has lost its record"
    summary = await annotate(clips, out)
    assert (summary.outcomes, summary.worked) == ({"done": len(NAMES)}, 1)
    assert not +calls, "its stages are known; only the record is put together anew"
    assert_whole(out, NAMES)


class _ClockSetBack(datetime):
    """Each look at it is an hour before the last."""

    looks = 0

    @classmethod
    def now(cls, tz=None):
        cls.looks += 1
        return datetime(2030, 1, 1, tzinfo=UTC) - timedelta(hours=cls.looks)


async def test_a_clock_set_back_changes_nothing(tmp_path, clips, monkeypatch):
    monkeypatch.setattr(run_queries, "datetime", _ClockSetBack)
    out = tmp_path / "out"
    await annotate(clips, out)
    calls.clear()
    assert (await annotate(clips, out)).worked == 0
    assert (await annotate(clips, out, seed=1)).worked == len(NAMES)
    assert set(calls) == {"llama3"}
    assert _ClockSetBack.looks
    assert_whole(out, NAMES)
    made = Ledger.in_folder(out)
    newest = {stored.name: stored.stages["reasoning"] for stored in made.results(["reasoning"])}
    records = {name: row.payload for name, row in made.records()}
    made.close()
    for name, reasoning in newest.items():
        text = reasoning.split(b'"text":"')[1].split(b'"')[0]
        assert text in records[name], "the last result is the newest, whatever the clock said"


def test_the_order_of_results_is_kept_where_the_clock_is_set_back(tmp_path, monkeypatch):
    monkeypatch.setattr(run_queries, "datetime", _ClockSetBack)
    clip = tmp_path / "a.mp4"
    clip.write_bytes(b"video")
    made = Ledger.in_folder(tmp_path)
    made.register([Found(clip)], {clip: "a"})
    made.finish_clip("a", "f", StageRow(Outcome.DONE, "", b"record", 1.0))
    for number in (3, 1, 2):
        made.save_stage("a", "tone", f"f{number}", StageRow(Outcome.DONE, "", b"%d" % number, 1.0))
        (stored,) = made.results(["tone"])
        assert stored.stages["tone"] == b"%d" % number
    made.close()

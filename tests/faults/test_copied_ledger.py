"""Copies of an output folder that were made while a run wrote into it, and files that lost a part: continued, or
refused in one line, but never taken for whole."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy.exc import DatabaseError

from merrflow.core.errors import InputError
from merrflow.core.inputs import Found
from merrflow.core.records import Outcome
from merrflow.pipeline.open_session import open_session
from merrflow.pipeline.request import Request
from merrflow.store import Ledger, StageRow
from merrflow.store.database_retries import LedgerGone
from merrflow.store.exclusive import exclusive, exclusive_ledger
from tests.faults.conftest import make_clips
from tests.faults.processes_checks import assert_whole
from tests.orchestrator.fakes import calls, fake_services

NAMES = [f"c{number}" for number in range(4)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), NAMES)


async def annotate(clips: Path, out: Path, addresses, on_clip=lambda name: None, **settings):
    values = {"label_scores": "none", "clips_at_once": 1} | addresses | settings
    async with open_session(Request((str(clips),), str(out), overrides=values)) as session:
        session.clip_finished.connect(lambda name, outcome: on_clip(name))
        await session.wait_ready()
        await session.annotate([clip.name for clip in session.todo])
        return session.write_outputs()


async def test_a_copy_made_in_mid_run_goes_on_elsewhere_from_what_it_holds(tmp_path, clips):
    out, copy = tmp_path / "out", tmp_path / "copy"

    def on_clip(name: str) -> None:
        if not copy.exists() and name == NAMES[1]:
            shutil.copytree(out, copy)

    async with fake_services() as addresses:
        await annotate(clips, out, addresses, on_clip)
        calls.clear()
        summary = await annotate(clips, copy, addresses)
        assert (summary.worked, calls["openface-au"]) == (len(NAMES) - 2, len(NAMES) - 2)
        assert (await annotate(clips, out, addresses)).worked == 0
    assert_whole(copy, NAMES)


async def test_a_copy_is_nobodys_while_the_original_runs_and_afterwards_both_are_whole(tmp_path, clips, postgres_url):
    """In PostgreSQL both folders name one ledger: one works at a time, and the other finds it all done."""
    out, copy = tmp_path / "out", tmp_path / "copy"
    async with fake_services() as addresses:
        with_ledger = addresses | {"ledger_url": postgres_url, "label_scores": "none"}
        async with open_session(Request((str(clips),), str(out), overrides=with_ledger)) as session:
            await session.wait_ready()
            await session.annotate(NAMES[:2])
            shutil.copytree(out, copy)
            with pytest.raises(InputError, match="another run is working there"):
                await annotate(clips, copy, with_ledger)
        assert (await annotate(clips, copy, with_ledger)).worked == len(NAMES) - 2
        assert (await annotate(clips, out, with_ledger)).outcomes == {"done": len(NAMES)}
    assert_whole(copy, NAMES, postgres_url)
    assert_whole(out, NAMES, postgres_url)


def busy(out: Path, stop: threading.Event) -> None:
    """Writes into a ledger as a run does."""
    with exclusive(out):
        ledger = Ledger.in_folder(out)
        with exclusive_ledger(ledger.location, out):
            found = [Found(out / f"{number}.mp4") for number in range(2000)]
            ledger.register(found, {clip.path: clip.path.stem for clip in found})
            for clip in found:
                if stop.is_set():
                    break
                name = clip.path.stem
                ledger.save_stage(name, "action_units", "f", StageRow(Outcome.DONE, "", os.urandom(30_000), 1.0))
                ledger.finish_clip(name, "f", StageRow(Outcome.DONE, "", os.urandom(3000), 1.0))
        ledger.close()


def assert_usable_or_refused(out: Path) -> bool:
    """Opens a ledger as a run does; returns whether it was refused."""
    file = out / "ledger.db"
    before = file.read_bytes()
    try:
        ledger = Ledger.in_folder(out)
        with exclusive_ledger(ledger.location, out):
            finished = ledger.finished()
            assert {name for name, _ in ledger.records()} == set(finished), "what is finished has its record"
        ledger.close()
    except (InputError, LedgerGone, DatabaseError) as error:  # each is one line of a run (test_half_a_ledger_...)
        if not isinstance(error, DatabaseError):
            assert str(file) in str(error) and "damaged" in str(error) and "\n" not in str(error)
        assert file.read_bytes()[:16] == before[:16]
        return True
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA user_version").fetchone() == (0,)
    db.close()
    return False


@pytest.mark.slow
def test_copies_at_any_moment_are_usable_or_refused(tmp_path):
    draw, stop = random.Random(12), threading.Event()
    writer = threading.Thread(target=busy, args=(tmp_path / "out", stop))
    writer.start()
    try:
        while not (tmp_path / "out/ledger.db-wal").exists():
            stop.wait(0.01)
        for number in range(24):
            stop.wait(draw.random() * 0.1)
            copy = tmp_path / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            copy.mkdir()
            for name in ("ledger.db", "ledger.db-shm", "ledger.db-wal"):
                if (tmp_path / "out" / name).exists():
                    shutil.copy(tmp_path / "out" / name, copy / name)
            wal = copy / "ledger.db-wal"
            if number % 3 == 1:
                wal.unlink(missing_ok=True)
            elif number % 3 == 2 and wal.exists():
                os.truncate(wal, draw.randrange(wal.stat().st_size + 1))
            assert_usable_or_refused(copy)
    finally:
        stop.set()
        writer.join()
    assert not assert_usable_or_refused(tmp_path / "out")


def test_files_of_two_moments_are_refused(tmp_path):
    """The file before a checkpoint and the -wal after it: SQLite alone opens them, and results are missing."""
    out, copy = tmp_path / "out", tmp_path / "copy"
    copy.mkdir()
    with exclusive(out):
        ledger = Ledger.in_folder(out)
        with exclusive_ledger(ledger.location, out):
            found = [Found(out / f"{number}.mp4") for number in range(200)]
            ledger.register(found, {clip.path: clip.path.stem for clip in found})
            for clip in found:
                ledger.finish_clip(clip.path.stem, "f", StageRow(Outcome.DONE, "", os.urandom(3000), 1.0))
                if clip.path.stem == "50":
                    checkpoint(out)
                    shutil.copy(out / "ledger.db", copy / "ledger.db")
                if clip.path.stem == "150":
                    checkpoint(out)
            shutil.copy(out / "ledger.db-wal", copy / "ledger.db-wal")
        ledger.close()
    assert assert_usable_or_refused(copy)


def checkpoint(out: Path) -> None:
    with sqlite3.connect(out / "ledger.db") as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


async def test_half_a_ledger_is_refused_in_one_line(tmp_path, clips):
    out = tmp_path / "out"
    async with fake_services() as addresses:
        await annotate(clips, out, addresses)
        os.truncate(out / "ledger.db", (out / "ledger.db").stat().st_size // 2)
        before = (out / "ledger.db").read_bytes()
        with pytest.raises(InputError, match=r"ledger\.db.*malformed: it is damaged; put a copy of it back") as told:
            await annotate(clips, out, addresses)
    assert "\n" not in str(told.value)
    assert (out / "ledger.db").read_bytes() == before


async def test_an_outcome_whose_record_was_lost_is_made_again_without_a_model(tmp_path, clips):
    out = tmp_path / "out"
    async with fake_services() as addresses:
        await annotate(clips, out, addresses)
        with sqlite3.connect(out / "ledger.db") as db:
            db.execute("DELETE FROM stages WHERE clip = 'c1' AND stage = 'record'")
        db.close()
        calls.clear()
        assert (await annotate(clips, out, addresses)).worked == 1
    assert not calls
    assert_whole(out, NAMES)

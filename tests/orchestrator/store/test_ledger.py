"""The ledger: one row for one piece of work, and nothing half."""

from __future__ import annotations

import os
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merrflow.core.fingerprint import file_sha256, file_state
from merrflow.core.inputs import Found
from merrflow.core.records import Outcome
from merrflow.store import RECORD, Ledger, StageRow, StageWrite
from merrflow.store.tables import ROWS_VERSION, STAGES
from merrflow.store.transactions import unpacked


@pytest.fixture
def ledger(tmp_path, ledger_url):
    ledger = Ledger.in_folder(tmp_path, ledger_url)
    yield ledger
    ledger.close()


def enter(ledger: Ledger, *paths: Path, **values):
    return ledger.register([Found(path, **values) for path in paths], {path: path.stem for path in paths})


def clip_file(folder: Path, name: str, data: bytes = b"video") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_register_hashes_once_and_again_when_the_file_changes(ledger, tmp_path, monkeypatch):
    path = clip_file(tmp_path, "a.mp4")
    first = enter(ledger, path)[0]
    monkeypatch.setattr("merrflow.store.registration.file_sha256", lambda path: "hashed again")
    assert enter(ledger, path)[0].sha256 == first.sha256
    path.write_bytes(b"other video")
    assert enter(ledger, path)[0].sha256 == "hashed again"


def test_other_bytes_of_the_same_length_are_new_work(ledger, tmp_path):
    path = clip_file(tmp_path, "a.mp4")
    first, stat = enter(ledger, path)[0], path.stat()
    path.write_bytes(bytes(reversed(path.read_bytes())))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert path.stat().st_size == stat.st_size
    assert enter(ledger, path)[0].sha256 != first.sha256


def test_a_file_that_cannot_be_read_is_entered_all_the_same(ledger, tmp_path):
    assert enter(ledger, tmp_path / "gone.mp4")[0].sha256 == ""
    assert ledger.names() == {"gone": tmp_path / "gone.mp4"}


def test_a_new_sentence_replaces_the_old(ledger, tmp_path):
    path = clip_file(tmp_path, "a.mp4")
    enter(ledger, path, sentence="one")
    enter(ledger, path, sentence="two")
    assert [row.clip.sentence for row in ledger.clips()] == ["two"]


def test_stage_rows_by_fingerprint(ledger, tmp_path):
    enter(ledger, clip_file(tmp_path, "a.mp4"))
    assert ledger.stage("a", "tone", "f1") is None
    row = StageRow(Outcome.DONE, "", '{"text": "轻声"}'.encode(), 0.5)
    ledger.save_stage("a", "tone", "f1", row)
    ledger.save_stage("a", "tone", "f2", StageRow(Outcome.FAILED, "no", b"", 0.1, 2, True))
    assert ledger.stage("a", "tone", "f1") == row
    assert ledger.stage("a", "tone", "f2").attempts == 2
    assert ledger.stage("a", "scene", "f1") is None


def test_only_the_current_record_counts(ledger, tmp_path):
    enter(ledger, clip_file(tmp_path, "b.mp4"), clip_file(tmp_path, "a.mp4"))
    for name in "ab":
        ledger.finish_clip(name, "old", StageRow(Outcome.DONE, "", b"old " + name.encode(), 1.0))
    ledger.finish_clip("a", "new", StageRow(Outcome.DONE, "", b"new a", 1.0))
    ledger.finish_clip("b", "new", StageRow(Outcome.SKIPPED, "no face", b"", 1.0))
    assert [(name, row.payload) for name, row in ledger.records()] == [("a", b"new a")]
    assert ledger.finished() == {"a": "new", "b": "new"}
    assert ledger.finished(["b", "none"]) == {"b": "new"}, "of these alone"
    assert ledger.finished([]) == {}
    assert ledger.finished(["b", *map(str, range(2000))]) == {"b": "new"}, "of any number"


def test_a_ledger_is_empty_until_a_clip_is_registered(ledger, tmp_path):
    assert ledger.is_empty()
    enter(ledger, clip_file(tmp_path, "a.mp4"))
    assert not ledger.is_empty()


def test_a_failure_that_may_pass_is_not_finished(ledger, tmp_path):
    enter(ledger, clip_file(tmp_path, "a.mp4"))
    ledger.finish_clip("a", "f", StageRow(Outcome.FAILED, "service away", b"", 1.0, retry=True))
    assert ledger.finished() == {}
    ledger.finish_clip("a", "f", StageRow(Outcome.FAILED, "not a video", b"", 1.0, 2))
    assert ledger.finished() == {"a": "f"}


@pytest.mark.parametrize("years", [-30, 30])
def test_outcomes_are_counted_whatever_the_clock_says(ledger, tmp_path, monkeypatch, years):
    """Progress counts the outcomes of a run; the rows of earlier runs may be of a future, or of no past."""
    enter(ledger, clip_file(tmp_path, "a.mp4"), clip_file(tmp_path, "b.mp4", b"other"))
    for name in "ab":
        ledger.finish_clip(name, "old", StageRow(Outcome.DONE, "", b"record", 1.0))
    before = ledger.outcomes()

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2025 + years, 1, 1, tzinfo=UTC)

    monkeypatch.setattr("merrflow.store.run_queries.datetime", Clock)
    ledger.finish_clip("a", "new", StageRow(Outcome.FAILED, "service away", b"", 1.0, retry=True))
    assert ledger.outcomes() - before == 1
    ledger.finish_clip("a", "new", StageRow(Outcome.DONE, "", b"record", 1.0, attempts=2))
    assert ledger.outcomes() - before == 2
    (newest, _) = ledger.results([])
    assert newest.record == b"record"


def test_of_results_in_one_transaction_the_last_is_the_newest(ledger, tmp_path, monkeypatch):
    """Also after those that are there, and while the clock goes back."""
    enter(ledger, clip_file(tmp_path, "a.mp4"))
    rows = [StageRow(Outcome.DONE, "", name.encode(), 1.0) for name in ("first", "second", "third")]
    ledger.write([StageWrite("a", "tone", "z", rows[0], is_first=True)])
    years = iter(range(2020, 1990, -1))

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(next(years), 1, 1, tzinfo=UTC)

    monkeypatch.setattr("merrflow.store.run_queries.datetime", Clock)
    writes = [StageWrite("a", "tone", "y", rows[1]), StageWrite("a", "tone", "x", rows[2])]
    ledger.write([*writes, StageWrite("a", RECORD, "f", StageRow(Outcome.DONE, "", b"{}", 1.0), is_first=True)])
    assert next(ledger.results(["tone"])).stages == {"tone": b"third"}


def test_a_damaged_time_costs_no_other_stage_its_order(tmp_path):
    with_damage = Ledger.in_folder(tmp_path)
    enter(with_damage, clip_file(tmp_path, "a.mp4"))
    for stage in ("tone", "scene"):
        with_damage.save_stage("a", stage, "z", StageRow(Outcome.DONE, "", b"before", 1.0))
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("UPDATE stages SET finished_at = 'x' WHERE stage = 'tone'")
        db.execute("UPDATE stages SET finished_at = '2999-01-01 00:00:00.000000' WHERE stage = 'scene'")
    row = StageRow(Outcome.DONE, "", b"after", 1.0)
    with_damage.write([StageWrite("a", "tone", "f", row), StageWrite("a", "scene", "f", row)])
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        found = dict(db.execute("SELECT stage, finished_at FROM stages WHERE fingerprint = 'f'"))
    assert found["scene"] == "2999-01-01 00:00:00.000001" and found["tone"] < "2999"
    with_damage.close()


def test_many_threads_write_at_once(ledger, tmp_path):
    enter(ledger, *(clip_file(tmp_path, f"c{number}.mp4") for number in range(8)))

    def work(name: str) -> None:
        for number in range(20):
            ledger.save_stage(name, "tone", f"f{number}", StageRow(Outcome.DONE, "", b"x", 0.1))
        ledger.finish_clip(name, "f", StageRow(Outcome.DONE, "", name.encode(), 1.0))

    threads = [threading.Thread(target=work, args=(f"c{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(ledger.records())) == 8


def test_a_killed_writer_leaves_whole_rows(tmp_path):
    path = clip_file(tmp_path, "a.mp4")
    child = os.fork()
    if child == 0:
        ledger = Ledger.in_folder(tmp_path)
        enter(ledger, path)
        for number in range(1000):
            ledger.finish_clip("a", f"f{number}", StageRow(Outcome.DONE, "", b"payload " * 100, 1.0))
            if number == 50:
                os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    ledger = Ledger.in_folder(tmp_path)
    (name, row), *rest = ledger.records()
    assert (name, row.payload, rest) == ("a", b"payload " * 100, [])
    assert ledger.finished() == {"a": "f50"}
    ledger.close()


outcomes = st.sampled_from(list(Outcome))
events = st.tuples(
    st.sampled_from("abc"), st.sampled_from(["f1", "f2"]), outcomes, st.booleans(), st.binary(max_size=20)
)


@given(st.lists(events, max_size=25))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_last_word_on_a_clip_is_what_the_ledger_tells(tmp_path_factory, done):
    folder = tmp_path_factory.mktemp("ledger")
    ledger = Ledger.in_folder(folder)
    enter(ledger, *(clip_file(folder, f"{name}.mp4", name.encode()) for name in "abc"))
    expected = {}
    for name, print_, outcome, retry, payload in done:
        ledger.finish_clip(name, print_, StageRow(outcome, "why", payload, 1.0, retry=retry))
        expected[name] = (print_, outcome, retry, payload)
    assert ledger.finished() == {name: row[0] for name, row in expected.items() if not row[2]}
    assert {name: row.payload for name, row in ledger.records()} == {
        name: row[3] for name, row in expected.items() if row[3]
    }
    for name, (print_, outcome, retry, _) in expected.items():
        assert (ledger.stage(name, RECORD, print_).outcome, ledger.stage(name, RECORD, print_).retry) == (
            outcome,
            retry,
        )
    ledger.close()


def test_a_row_of_a_newer_version_is_neither_read_nor_overwritten(ledger, tmp_path):
    enter(ledger, clip_file(tmp_path, "a.mp4"))
    for stage in ("tone", RECORD):
        ledger.save_stage("a", stage, "f", StageRow(Outcome.DONE, "", b"new", 1.0))
        ledger._execute(sa.update(STAGES).where(STAGES.c.stage == stage).values(schema_version=ROWS_VERSION + 1))
        assert ledger.stage("a", stage, "f") is None
    ledger.save_stage("a", "tone", "f", StageRow(Outcome.DONE, "", b"old", 1.0))
    ledger.finish_clip("a", "f", StageRow(Outcome.DONE, "", b"old", 1.0))
    rows = ledger.stages(ledger.named(["a"])[0])
    assert {unpacked(row.payload) for row in rows.values()} == {b"new"} and len(rows) == 2
    assert not list(ledger.records()) and not ledger.described()
    assert ledger.finished() == {"a": "f"}, "it is done, by the newer merrflow"


@pytest.mark.parametrize("bad", ["x'FF'", "CAST(x'FF' AS TEXT)"], ids=["bytes", "no UTF-8"])
def test_a_damaged_sqlite_file_may_hold_values_of_any_type(tmp_path, bad):
    """SQLite's columns have no types; each value is read as the type that merrflow wrote, so that no query fails."""
    ledger = Ledger.in_folder(tmp_path)
    enter(ledger, *(clip_file(tmp_path, f"{name}.mp4") for name in "abc"))
    for name in "abc":
        ledger.finish_clip(name, "f", StageRow(Outcome.DONE, "", b"{}", 1.0))
    clips = ("path", "sentence", "label", "reason", "fingerprint", "sha256", "size", "mtime_ns")
    of_a = [f"UPDATE clips SET {column} = {bad} WHERE name = 'a'" for column in clips]
    of_a += [f"UPDATE stages SET {column} = {bad} WHERE clip = 'a'" for column in ("reason", "schema_version")]
    of_c = f"UPDATE clips SET name = {bad} WHERE name = 'c'", f"UPDATE stages SET clip = {bad} WHERE clip = 'c'"
    ledger.close()
    with sqlite3.connect(tmp_path / "ledger.db") as db:  # in which foreign keys are not checked
        for statement in (*of_a, *of_c):
            db.execute(statement)
    ledger = Ledger.in_folder(tmp_path)
    clip = next(row for row in ledger.clips() if row.clip.name == "a")
    assert isinstance(clip.reason, str) and isinstance(clip.clip.sentence, str)
    assert ledger.stage("a", RECORD, "f").payload == b"{}"
    assert all(isinstance(value, str) for row in ledger.statuses() for value in (row.name, row.reason))
    assert next(iter(ledger.records()))[0] == "b" and {row.name for row in ledger.results([])} >= {"a", "b"}
    assert ledger.names()["b"] == tmp_path / "b.mp4" and ledger.state() and ledger.named(["a"])
    enter(ledger, tmp_path / "b.mp4")
    ledger.close()


def test_two_processes_may_add_the_column_at_the_same_time(tmp_path, ledger_url, monkeypatch):
    first = Ledger.in_folder(tmp_path, ledger_url)
    looks = iter([False, True])
    monkeypatch.setattr(Ledger, "_has_schema_version", lambda self: next(looks))
    second = Ledger.in_folder(tmp_path, ledger_url)
    assert not second.names()
    for ledger in (first, second):
        ledger.close()


def test_a_clip_knows_in_which_state_its_file_was_registered(ledger, tmp_path):
    path = clip_file(tmp_path, "a.mp4")
    (clip,) = enter(ledger, path)
    assert clip.file == file_state(path)
    (same,) = ledger.named(["a"])
    assert same.file.is_like(clip.file) and same.file.inode is None, "another machine may number files otherwise"
    assert enter(ledger, tmp_path / "gone.mp4")[0].file is None


def test_a_file_that_changes_while_it_is_hashed_is_read_again(ledger, tmp_path, monkeypatch):
    path = clip_file(tmp_path, "a.mp4")

    def hashed(path: Path) -> str:
        path.write_bytes(path.read_bytes() + b"more")
        return "of half a file"

    with monkeypatch.context() as patch:
        patch.setattr("merrflow.store.registration.file_sha256", hashed)
        (clip,) = enter(ledger, path)
    assert not clip.file.is_like(file_state(path)), "so nothing that is read of it now is kept"
    assert enter(ledger, path)[0].sha256 == file_sha256(path)

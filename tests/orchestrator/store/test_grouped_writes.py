"""Rows of many threads share transactions, and each learns its own fate."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from merrflow.core.inputs import Found
from merrflow.core.measurements import Clip
from merrflow.core.records import Outcome
from merrflow.store import RECORD, GroupedWrites, Ledger, StageRow, StageWrite
from merrflow.store.database_retries import LedgerGone
from merrflow.store.grouped_writes import PAUSE_SECONDS

ROW = StageRow(Outcome.DONE, "", b'{"value": 1}', 0.1)


def write(clip: str, stage: str = "tone", fingerprint: str = "f") -> StageWrite:
    return StageWrite(clip, stage, fingerprint, ROW)


class Gate:
    """A ledger's `write` whose first call waits, so that what comes meanwhile is one group."""

    def __init__(self, writing) -> None:
        self.open = threading.Event()
        self.groups: list[list[StageWrite]] = []
        self._writing = writing

    def __call__(self, writes: Sequence[StageWrite]) -> None:
        self.groups.append(list(writes))
        if len(self.groups) == 1:
            assert self.open.wait(10)
        self._writing(writes)


@pytest.fixture
def ledger(tmp_path: Path, ledger_url: str):
    made = Ledger.in_folder(tmp_path, ledger_url)
    paths = [tmp_path / f"{name}.mp4" for name in ("a", "b", "c")]
    for path in paths:
        path.write_bytes(path.name.encode())
    made.register([Found(path) for path in paths], {path: path.stem for path in paths})
    yield made
    made.close()


def test_what_comes_during_a_transaction_shares_the_next(ledger: Ledger) -> None:
    gate = Gate(ledger.write)
    with GroupedWrites(gate) as writes:
        waiting = [writes.put(write("a", fingerprint="f0"))]
        while not gate.groups:
            pass
        waiting += [writes.put(write("a", fingerprint=f"f{number}")) for number in range(1, 20)]
        waiting.append(writes.put(write("a", RECORD)))
        gate.open.set()
        assert [future.result(10) for future in waiting] == [None] * 21
    assert len(gate.groups[0]) <= 2 and len(gate.groups) <= 3
    assert [ledger.stage("a", "tone", f"f{number}") for number in range(20)] == [ROW] * 20
    assert ledger.finished() == {"a": "f"}


def test_one_row_that_cannot_be_written_is_nobody_elses_trouble(ledger: Ledger) -> None:
    gate = Gate(ledger.write)
    with GroupedWrites(gate) as writes:
        first = writes.put(write("a"))
        while not gate.groups:
            pass
        good, bad, other = writes.put(write("b")), writes.put(write("unknown")), writes.put(write("c"))
        gate.open.set()
        assert (first.result(10), good.result(10), other.result(10)) == (None, None, None)
        with pytest.raises(IntegrityError):
            bad.result(10)
    assert ledger.stage("b", "tone", "f") == ledger.stage("c", "tone", "f") == ROW


def test_what_was_put_is_written_though_nobody_waits_and_the_run_ends(ledger: Ledger) -> None:
    gate = Gate(ledger.write)
    with GroupedWrites(gate) as writes:
        writes.put(write("a"))
        assert writes.put(write("b")).cancel() in (True, False)
        gate.open.set()
    assert ledger.stage("a", "tone", "f") == ledger.stage("b", "tone", "f") == ROW


def test_beside_a_row_that_cannot_be_written_one_that_nobody_waits_for_is(ledger: Ledger) -> None:
    gate = Gate(ledger.write)
    with GroupedWrites(gate) as writes:
        writes.put(write("a"))
        while not gate.groups:
            pass
        writes.put(write("unknown"))
        assert writes.put(write("b")).cancel()
        gate.open.set()
    assert ledger.stage("b", "tone", "f") == ROW


def test_a_ledger_that_is_gone_is_waited_for_once(ledger: Ledger) -> None:
    calls = []

    def gone(writes: Sequence[StageWrite]) -> None:
        calls.append(writes)
        raise LedgerGone("away")

    with GroupedWrites(gone) as writes:
        for future in [writes.put(write(name)) for name in ("a", "b", "c")]:
            with pytest.raises(LedgerGone):
                future.result(10)
    assert len(calls) == 1


def test_many_threads(ledger: Ledger) -> None:
    with GroupedWrites(ledger.write) as writes, ThreadPoolExecutor(8) as pool:
        names = [("abc"[number % 3], f"f{number}") for number in range(300)]
        done = pool.map(lambda one: writes.put(write(one[0], fingerprint=one[1])).result(30), names)
        assert list(done) == [None] * 300
    assert all(ledger.stage(clip, "tone", fingerprint) == ROW for clip, fingerprint in names)
    assert len(ledger.stages(Clip("a", Path("a.mp4"), ""))) == 100


def test_nothing_is_taken_once_it_is_closed(ledger: Ledger) -> None:
    with GroupedWrites(ledger.write) as writes:
        writes.put(write("a"))
    for _ in range(2):
        with pytest.raises(RuntimeError):
            writes.put(write("b"))


class Noted:
    """A ledger's `write`, and how many rows each transaction had."""

    def __init__(self, writing) -> None:
        self.groups: list[int] = []
        self._writing = writing

    def __call__(self, rows: Sequence[StageWrite]) -> None:
        self.groups.append(len(rows))
        self._writing(rows)


def test_rows_that_can_wait_share_one_transaction(ledger: Ledger) -> None:
    noted = Noted(ledger.write)
    with GroupedWrites(noted) as writes:
        waiting = []
        for number in range(6):
            waiting.append(writes.put(write("a", fingerprint=f"f{number}"), can_wait=True))
            time.sleep(PAUSE_SECONDS / 20)
        assert [future.result(10) for future in waiting] == [None] * 6
        assert len(noted.groups) <= 2
        writes.put(write("b"), can_wait=True)
        ended = time.monotonic()
    assert time.monotonic() - ended < 10 and ledger.stage("b", "tone", "f") == ROW


def test_a_row_that_cannot_wait_is_written_at_once_with_those_that_can(ledger: Ledger, monkeypatch) -> None:
    monkeypatch.setattr("merrflow.store.grouped_writes.PAUSE_SECONDS", 30.0)
    noted = Noted(ledger.write)
    with GroupedWrites(noted) as writes:
        early = writes.put(write("a"), can_wait=True)
        assert writes.put(write("b")).result(10) is None
        assert early.done() and noted.groups == [2]

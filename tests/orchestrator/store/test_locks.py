"""A lock is one living process's, and nobody's the moment it is gone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
import sqlalchemy as sa

from merrflow.store import locks
from merrflow.store.locks import LockTaken, locks_at

HOLD = """
import sys, time
from pathlib import Path
from merrflow.store.locks import locks_at
with locks_at(Path(sys.argv[1]), sys.argv[2]).hold("name"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_holder_at_a_time_and_others_are_free(tmp_path, ledger_url):
    first, second = locks_at(tmp_path, ledger_url), locks_at(tmp_path, ledger_url)
    with first.hold("name"):
        assert not second.is_free("name") and second.is_free("other")
        with pytest.raises(LockTaken), second.hold("name"):
            pass
        with second.hold("other"):
            assert not first.is_free("other")
    assert first.is_free("name")


def test_whoever_waits_gets_it_when_it_is_free(tmp_path, ledger_url):
    first, second = locks_at(tmp_path, ledger_url), locks_at(tmp_path, ledger_url)
    hold = first.hold("name")
    hold.__enter__()
    threading.Timer(0.5, hold.__exit__, (None, None, None)).start()  # by another thread than the one that took it
    with second.hold("name", wait=20):
        assert not first.is_free("name")


def test_a_killed_process_holds_nothing(tmp_path, ledger_url):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), ledger_url], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"held\n"
        there = locks_at(tmp_path, ledger_url)
        assert not there.is_free("name")
    finally:
        process.kill()
        process.wait()
    with there.hold("name", wait=10):
        pass


def test_a_lock_whose_connection_broke_is_taken_again(tmp_path, postgres_url, monkeypatch):
    monkeypatch.setattr(locks, "_KEEP", 0.1)
    there = locks_at(tmp_path, postgres_url)
    with there.hold("name"):
        with sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT").connect() as db:
            holders = sa.text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            assert db.execute(holders).all()
        deadline = time.monotonic() + 10
        while there.is_free("name") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not there.is_free("name")
    deadline = time.monotonic() + 10
    while not there.is_free("name") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert there.is_free("name")

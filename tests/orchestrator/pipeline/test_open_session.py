"""What a session asks of the ledger when it is opened."""

from __future__ import annotations

import pytest

from benchmarks.support.large_ledger import fill_large, make_empty_clips
from benchmarks.support.made_up_dataset import embedded, keys_for
from merrflow.pipeline.open_session import open_shard
from merrflow.pipeline.request import Request
from merrflow.store import Ledger


@pytest.fixture
def read(monkeypatch) -> list[int]:
    """How many rows each query of a ledger returned."""
    counts: list[int] = []
    rows = Ledger._rows

    def counted(self, query):
        found = rows(self, query)
        counts.append(len(found))
        return found

    monkeypatch.setattr(Ledger, "_rows", counted)
    return counts


async def test_a_shard_reads_its_own_clips_however_many_are_finished(tmp_path, read):
    paths = make_empty_clips(tmp_path / "clips", 60)
    fill_large(tmp_path / "out", paths, keys_for(embedded()))
    read.clear()
    async with open_shard(Request((), str(tmp_path / "out")), ["clip_0000007", "clip_0000008"]) as session:
        assert (len(session.clips), session.todo) == (2, []), "both are finished"
    assert read and max(read) == 2

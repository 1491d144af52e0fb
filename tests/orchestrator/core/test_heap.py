"""What a run needs is out of the garbage collector's way meanwhile, and only meanwhile."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from merrflow.core.heap import growing_heap, settled_heap


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """As in a run: the tests' own conftest.py freezes what it has imported."""
    gc.unfreeze()
    yield
    gc.freeze()


def test_what_is_there_is_left_alone_while_the_block_lasts():
    assert gc.get_freeze_count() == 0
    with pytest.raises(ValueError), settled_heap():
        assert gc.get_freeze_count() > 1000
        with settled_heap():  # of a second run
            pass
        assert gc.get_freeze_count() > 1000
        raise ValueError
    assert gc.get_freeze_count() == 0


def test_circles_of_the_work_itself_are_collected():
    class Clip:
        def __init__(self) -> None:
            self.itself = self

    with settled_heap():
        [Clip() for _ in range(100)]
        assert gc.collect() >= 100


def test_what_the_caller_froze_stays_so():
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        with settled_heap():
            assert gc.get_freeze_count() == before
        assert gc.get_freeze_count() == before
    finally:
        gc.unfreeze()


def test_nothing_is_collected_while_the_heap_grows():
    @growing_heap()
    def grow() -> bool:
        with growing_heap():  # of a caller within it
            pass
        return gc.isenabled()

    assert not grow() and gc.isenabled()
    with pytest.raises(ValueError), growing_heap():
        raise ValueError
    assert gc.isenabled()


def test_a_collector_that_the_caller_turned_off_stays_so():
    gc.disable()
    try:
        with growing_heap():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_has_grown_counts_as_old():
    before = gc.get_stats()[0]["collections"]
    with growing_heap():
        kept = [[] for _ in range(2 * gc.get_threshold()[0])]
        assert len(gc.get_objects(generation=0)) > len(kept)
    assert gc.get_stats()[0]["collections"] == before
    old = {id(one) for one in gc.get_objects(generation=2)}
    assert all(id(one) in old for one in kept)

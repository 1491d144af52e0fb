"""What finishes clips goes before what begins new ones."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from merrflow.pipeline.ranked_threads import RankedThreads


async def test_the_earlier_clips_work_goes_first_and_in_its_order() -> None:
    done: list[str] = []
    begun, go = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go.wait(10)

    with RankedThreads(1) as threads:
        first = threads.of_rank(9)(wait)  # while it works, the rest comes
        await asyncio.to_thread(begun.wait, 10)
        rest = [
            threads.of_rank(rank)(done.append, name) for rank, name in ((3, "c"), (1, "a"), (2, "b"), (1, "a, later"))
        ]
        go.set()
        await asyncio.gather(first, *rest)
    assert done == ["a", "a, later", "b", "c"]


async def test_values_and_errors_come_back() -> None:
    with RankedThreads(2) as threads:
        run = threads.of_rank(0)
        assert await run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await run(divmod, 7, 0)
        assert await run(threading.current_thread) is not threading.main_thread()


async def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    begun: list[int] = []
    go = threading.Event()
    with RankedThreads(1) as threads:
        run = threads.of_rank(0)
        first, second = run(go.wait, 10), run(begun.append, 1)
        second.cancel()
        await asyncio.sleep(0)
        go.set()
        await first
    assert begun == []


async def test_the_end_waits_for_all_work_and_refuses_more() -> None:
    done: list[int] = []
    with RankedThreads(2) as threads:
        waiting = [threads.of_rank(n)(done.append, n) for n in range(50)]
    assert sorted(done) == list(range(50))
    await asyncio.gather(*waiting)
    with pytest.raises(RuntimeError):
        threads.of_rank(0)(done.append, 0)


async def test_an_idle_thread_holds_no_clip() -> None:
    class Clip:
        pass

    with RankedThreads(1) as threads:
        clip = Clip()
        alive = weakref.ref(clip)
        assert await threads.of_rank(0)(id, clip)
        del clip
        await asyncio.sleep(0.1)
        gc.collect()
        assert alive() is None

"""One clip through small graphs: what is left behind, however it ends."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from merrflow.core.measurements import Clip
from merrflow.pipeline.clip_file import ClipFile
from merrflow.pipeline.clip_run import ClipRun, Skipped, stage_of
from merrflow.pipeline.pause import Pause
from merrflow.stages.graph import Graph
from merrflow.stages.stage import Result, Skip, Stage


@dataclass(frozen=True)
class Decoded:
    """Of many megabytes."""


@dataclass(frozen=True)
class Threads:
    in_thread: Callable = asyncio.to_thread


class NoCache:
    async def result(self, stage, key, compute):
        return Result((await compute()).value)

    async def settle(self):
        pass


async def fail(work, *needs):
    raise ValueError("broken")


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (partial(Stage, compute=lambda work, probe: Skip("neutral")), Skipped),
        (partial(Stage, compute=fail), ValueError),
        (partial(Stage, compute=fail, service="llama3", result=int), Pause),
    ],
)
async def test_a_clip_without_a_record_frees_what_was_decoded_at_once(tmp_path, last, error):
    decoded = []

    def decode(work):
        clip = Decoded()
        decoded.append(weakref.ref(clip))
        return clip

    async def probe(work):
        return bool(await work.use("decoded"))

    graph = Graph(
        [
            Stage(name="decoded", purpose="", compute=decode, lazy=True),
            Stage(name="probe", purpose="", compute=probe, uses=("decoded",)),
            last(name="last", purpose="", needs=("probe",)),
            Stage(name="beside", purpose="", compute=lambda work, probe: 1, needs=("probe",)),
        ]
    )
    file = ClipFile(Clip("a", tmp_path / "a.mp4", ""), asyncio.to_thread)
    gc.disable()
    try:
        with pytest.raises(error):
            await ClipRun(graph, Threads(), NoCache(), file, frozenset({"llama3"})).record()
        await asyncio.sleep(0)
        assert decoded[0]() is None
    finally:
        gc.enable()


def run_of(stages, tmp_path, absent=()) -> ClipRun:
    file = ClipFile(Clip("a", tmp_path / "a.mp4", ""), asyncio.to_thread)
    return ClipRun(Graph(stages), Threads(), NoCache(), file, frozenset(absent))


async def test_cheap_stages_take_no_task_of_the_loop(tmp_path):
    tasks = []

    def count(work, *needs):
        tasks.append(len(asyncio.all_tasks()))

    stages = [Stage(name=f"s{n}", purpose="", compute=count, needs=(f"s{n - 1}",) if n else ()) for n in range(50)]
    stages += [Stage(name=f"t{n}", purpose="", compute=count, needs=("s10",)) for n in range(50)]
    with pytest.raises(KeyError, match="peak_frame"):  # all of them have ended
        await run_of(stages, tmp_path).record()
    assert tasks == [1] * 100


async def test_each_stage_runs_once_what_it_needs_is_there_and_beside_those_that_wait(tmp_path):
    seen, gate = [], asyncio.Event()

    def stage(name, *needs, waits=False):
        async def wait(work, *values):
            assert values == needs
            seen.append(name)
            await gate.wait()
            return name

        def compute(work, *values):
            assert values == needs
            seen.append(name)
            return name

        return Stage(name=name, purpose="", compute=wait if waits else compute, needs=needs)

    stages = [
        stage("first"),
        stage("slow", "first", waits=True),
        stage("cheap", "first"),
        stage("other", "first", waits=True),
        stage("behind", "cheap", "first"),
        stage("last", "slow", "behind"),
    ]
    running = asyncio.ensure_future(run_of(stages, tmp_path).record())
    for _ in range(5):
        await asyncio.sleep(0)
    assert sorted(seen) == ["behind", "cheap", "first", "other", "slow"]
    gate.set()
    with pytest.raises(KeyError, match="peak_frame"):
        await running
    assert sorted(seen[5:]) == ["last"]


async def test_the_first_error_of_the_graph_is_raised_once_the_others_have_ended(tmp_path):
    ended = []

    def failing(after):
        async def compute(work):
            for _ in range(after):
                await asyncio.sleep(0)
            ended.append(after)
            raise ValueError(f"after {after}")

        return compute

    stages = [
        Stage(name="later", purpose="", compute=failing(9)),
        Stage(name="sooner", purpose="", compute=failing(2)),
        Stage(name="pausing", purpose="", compute=fail, service="llama3", result=int),
        Stage(name="behind", purpose="", compute=lambda work, value: ended.append("behind"), needs=("sooner",)),
    ]
    with pytest.raises(ValueError, match="after 9"):
        await run_of(stages, tmp_path, {"llama3"}).record()
    assert ended == [2, 9]


async def test_pauses_alone_are_one_for_all_services(tmp_path):
    names = ("llama3", "qwen-audio")
    stages = [Stage(name=name, purpose="", compute=fail, service=name, result=int) for name in names]
    with pytest.raises(Pause) as pause:
        await run_of(stages, tmp_path, names).record()
    assert pause.value.services == set(names)


async def test_a_clip_that_is_cancelled_takes_its_stages_with_it(tmp_path):
    cancelled = []

    def waiting(name):
        async def compute(work):
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(name)

        return compute

    async def use(work):
        await work.use("lazy")

    stages = [Stage(name=name, purpose="", compute=waiting(name)) for name in ("a", "b")]
    stages += [
        Stage(name="lazy", purpose="", compute=waiting("lazy"), lazy=True),
        Stage(name="user", purpose="", compute=use, uses=("lazy",)),
    ]
    running = asyncio.ensure_future(run_of(stages, tmp_path).record())
    for _ in range(5):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0)
    assert sorted(cancelled) == ["a", "b", "lazy"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("broken", ["decoded", "probe", "last"])
async def test_a_fault_is_of_the_stage_that_raised_it(tmp_path, broken):
    def compute(name):
        async def run(work, *needs):
            if name == broken:
                raise ValueError("broken")
            return bool(await work.use("decoded")) if name == "probe" else 1

        return run

    graph = Graph(
        [
            Stage(name="decoded", purpose="", compute=compute("decoded"), lazy=True),
            Stage(name="probe", purpose="", compute=compute("probe"), uses=("decoded",)),
            Stage(name="last", purpose="", compute=compute("last"), needs=("probe",)),
        ]
    )
    file = ClipFile(Clip("a", tmp_path / "a.mp4", ""), asyncio.to_thread)
    with pytest.raises(ValueError) as fault:
        await ClipRun(graph, Threads(), NoCache(), file, frozenset()).record()
    assert stage_of(fault.value) == f" in the stage {broken}"


def test_a_fault_outside_of_all_stages_names_none():
    assert stage_of(ValueError("broken")) == ""

"""One clip through small graphs: what is left behind, however it ends."""

from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import dataclass
from functools import partial

import pytest

from merrflow.core.measurements import Clip
from merrflow.pipeline.clip_file import ClipFile
from merrflow.pipeline.clip_run import ClipRun, Skipped
from merrflow.pipeline.pause import Pause
from merrflow.stages.graph import Graph
from merrflow.stages.stage import Result, Skip, Stage


@dataclass(frozen=True)
class Decoded:
    """Of many megabytes."""


class NoCache:
    async def result(self, stage, key, compute):
        return Result((await compute()).value)


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
            await ClipRun(graph, None, NoCache(), file, frozenset({"llama3"})).record()
        await asyncio.sleep(0)
        assert decoded[0]() is None
    finally:
        gc.enable()

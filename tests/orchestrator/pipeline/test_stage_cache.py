"""What the ledger keeps of a stage is what every later run reads: checked once, when it is packed."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy.exc import IntegrityError

from merrflow.clients.faces import series_from
from merrflow.core.faces import Face, FaceFrame
from merrflow.core.inputs import Found
from merrflow.core.measurements import ActionUnitSeries, Clip
from merrflow.core.records import Outcome
from merrflow.core.spoken import Subtitle
from merrflow.pipeline.stage_cache import Codecs, StageCache
from merrflow.stages.graph import GRAPH
from merrflow.stages.stage import Reply
from merrflow.stages.validation import series_problem
from merrflow.store import GroupedWrites, Ledger, StageRow
from merrflow_openface_au.answer import to_proto
from merrflow_serving.errors import EngineFault
from tests.orchestrator.clients.test_faces import VIDEOS

STAGE = GRAPH["action_units"]


def series(yaw: float) -> ActionUnitSeries:
    face = Face((0.0, 0.0, 9.0, 9.0), 0.9, 0.0, yaw, 0.0, {"AU12": 1.5}, frozenset({"AU12"}))
    return ActionUnitSeries(64, 48, 25.0, ("AU12",), (FaceFrame(0, 0.0, (face,)),))


def test_what_is_packed_is_given_back_as_later_runs_read_it():
    codecs = Codecs(GRAPH)
    payload, found = codecs.pack(STAGE, Reply(series(2.5)))
    assert found == codecs.unpack(STAGE, payload) and found.value == series(2.5)


@given(VIDEOS)
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_not_parsed_again_can_be_read_back_or_is_a_fault_of_the_engine(video):
    video = replace(video, frames=tuple(replace(frame, index=place) for place, frame in enumerate(video.frames)))
    codecs, found = Codecs(GRAPH), series_from(to_proto(video, {}, packed=True))
    try:
        payload, packed = codecs.pack(STAGE, Reply(found))
    except EngineFault:
        assert series_problem(Reply(found))
    else:
        assert codecs.unpack(STAGE, payload) == packed


@pytest.mark.parametrize("stage", [stage for stage in GRAPH if stage.is_large], ids=lambda stage: stage.name)
@pytest.mark.parametrize("change", [{"fps": math.nan}, {"fps": math.inf}, {"frames": (FaceFrame(0, math.nan, ()),)}])
def test_numbers_beside_the_faces_are_checked_too(stage, change):
    with pytest.raises(EngineFault, match="NaN or infinite"):
        Codecs(GRAPH).pack(stage, Reply(replace(series(1.0), **change)))


@pytest.mark.parametrize("yaw", [math.nan, math.inf])
def test_nonsense_is_a_fault_of_the_engine(yaw):
    with pytest.raises(EngineFault, match="action_units"):
        Codecs(GRAPH).pack(STAGE, Reply(series(yaw)))


class Keys:
    def of_stage(self, stage, clip, depends_on):
        return f"{stage.name} {depends_on}"

    def refused(self, key):
        return f"{key} refused"


@asynccontextmanager
async def clip_cache(folder, name, write):
    """The cache of a clip in a ledger of the clip `a`. write: (ledger, rows), in place of the ledger's own."""
    path = folder / "a.mp4"
    path.write_bytes(b"video")
    ledger = Ledger.in_folder(folder)
    [clip] = ledger.register([Found(path)], {path: "a"})
    with ThreadPoolExecutor(1) as threads, GroupedWrites(lambda rows: write(ledger, rows)) as writes:
        cache = StageCache(ledger, GRAPH, Keys(), threads, writes)
        yield ledger, await cache.open(clip if name == "a" else Clip(name, path, ""))
    ledger.close()


async def said() -> Reply[Subtitle]:
    return Reply(Subtitle("Hello.", "table", "en", ""))


OUTCOME = StageRow(Outcome.DONE, "", b"{}", 0.1)


async def test_a_clip_goes_on_while_its_rows_are_written_but_its_outcome_comes_after_them(tmp_path):
    gate, written = threading.Event(), []

    def write(ledger, rows):
        assert gate.wait(10)
        ledger.write(rows)
        written.append([row.stage for row in rows])

    async with clip_cache(tmp_path, "a", write) as (ledger, cache):
        found = [await cache.result(GRAPH["subtitle"], key, said) for key in ("k1", "k2")]
        assert [one.value.text for one in found] == ["Hello."] * 2 and not written
        gate.set()
        await cache.finish("r", OUTCOME)
        assert [*chain.from_iterable(written)] == ["subtitle", "subtitle", "record"] and written[-1] == ["record"]
        assert ledger.finished() == {"a": "r"}


async def test_a_row_that_cannot_be_written_is_the_clips_fault_before_it_has_an_outcome(tmp_path):
    async with clip_cache(tmp_path, "unknown", Ledger.write) as (ledger, cache):
        await cache.result(GRAPH["subtitle"], "k", said)
        with pytest.raises(IntegrityError):
            await cache.settle()
        await cache.settle()  # it is said once
        await cache.result(GRAPH["subtitle"], "k", said)
        with pytest.raises(IntegrityError):
            await cache.finish("r", OUTCOME)
        assert ledger.finished() == {}

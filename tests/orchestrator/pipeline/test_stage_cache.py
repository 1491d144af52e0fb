"""What the ledger keeps of a stage is what every later run reads: checked once, when it is packed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from merrflow.clients.faces import series_from
from merrflow.core.measurements import ActionUnitSeries, Face, FaceFrame
from merrflow.pipeline.stage_cache import Codecs
from merrflow.stages.graph import GRAPH
from merrflow.stages.stage import Reply
from merrflow.stages.validation import series_problem
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

"""What the ledger keeps of a stage is what every later run reads: checked once, when it is packed."""

from __future__ import annotations

import math

import pytest

from merrflow.core.measurements import ActionUnitSeries, Face, FaceFrame
from merrflow.pipeline.stage_cache import Codecs
from merrflow.stages.graph import GRAPH
from merrflow.stages.stage import Reply
from merrflow_serving.errors import EngineFault

STAGE = GRAPH["action_units"]


def series(yaw: float) -> ActionUnitSeries:
    face = Face((0.0, 0.0, 9.0, 9.0), 0.9, 0.0, yaw, 0.0, {"AU12": 1.5}, frozenset({"AU12"}))
    return ActionUnitSeries(64, 48, 25.0, ("AU12",), (FaceFrame(0, 0.0, (face,)),))


def test_what_is_packed_is_given_back_as_later_runs_read_it():
    codecs = Codecs(GRAPH)
    payload, found = codecs.pack(STAGE, Reply(series(2.5)))
    assert found == codecs.unpack(STAGE, payload) and found.value == series(2.5)


@pytest.mark.parametrize("yaw", [math.nan, math.inf])
def test_nonsense_is_a_fault_of_the_engine(yaw):
    with pytest.raises(EngineFault, match="action_units"):
        Codecs(GRAPH).pack(STAGE, Reply(series(yaw)))

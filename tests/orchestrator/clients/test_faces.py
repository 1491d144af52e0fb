"""Faces in arrays are the faces one by one, whatever an engine measured; clients and services of either age agree."""

from __future__ import annotations

import math
import struct
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow.clients import Services
from merrflow.clients.faces import series_from
from merrflow.common.v1 import common_pb2
from merrflow.core.measurements import ActionUnitSeries
from merrflow.core.settings_file import load_settings
from merrflow.openface_au.v1 import openface_au_pb2 as pb
from merrflow.openface_au.v1 import openface_au_pb2_grpc as pb_grpc
from merrflow_openface_au import SPEC
from merrflow_openface_au.answer import to_proto
from merrflow_openface_au.service import ActionUnits
from merrflow_openface_au.types import ActionUnitValue, FaceResult, FrameResult, Pose, VideoResult
from merrflow_serving.errors import EngineFault
from tests.orchestrator.fakes import FakeActionUnits, make_video, served

NUMBERS = st.floats(width=32)  # NaN and infinity, too
CLASSES = ("happy", "neutral", "sad")
FACES = st.builds(
    FaceResult,
    box=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    confidence=NUMBERS,
    pose=st.builds(Pose, NUMBERS, NUMBERS, NUMBERS),
    action_units=st.dictionaries(
        st.sampled_from(("AU01", "AU12", "AU25", "AU45")),
        st.builds(ActionUnitValue, st.none() | NUMBERS, st.booleans()),
    ).map(lambda units: dict(sorted(units.items()))),
    mouth_opening=st.none() | NUMBERS,
    second_pass=st.booleans(),
    expression=st.just(()) | st.tuples(NUMBERS, NUMBERS, NUMBERS),
    embedding=st.just(b"")
    | st.lists(st.floats(width=16), max_size=4).map(lambda all: struct.pack(f"<{len(all)}e", *all)),
)
FRAMES = st.builds(FrameResult, st.integers(0, 9), st.floats(0, 100), st.lists(FACES, max_size=3).map(tuple))
VIDEOS = st.builds(
    VideoResult,
    width=st.just(640),
    height=st.just(360),
    fps=st.just(25.0),
    action_units=st.just(("AU01", "AU12")),
    frames=st.lists(FRAMES, max_size=4).map(tuple),
    expression_classes=st.sampled_from(((), CLASSES)),
)


def plain(series: ActionUnitSeries) -> str:
    """As text, because NaN is not equal to itself, with sets in order."""
    return repr(
        [
            (
                frame.index,
                frame.timestamp,
                [(sorted(face.present), replace(face, present=frozenset())) for face in frame.faces],
            )
            for frame in series.frames
        ]
    ) + repr(replace(series, frames=()))


@given(VIDEOS)
@settings(deadline=None, max_examples=100)
def test_arrays_say_what_frames_say(video: VideoResult):
    both = [to_proto(video, {}, packed=packed) for packed in (False, True)]
    assert len(both[0].frames) == len(video.frames) and not both[1].frames
    one_by_one, packed = (series_from(pb.DetectResponse.FromString(reply.SerializeToString())) for reply in both)
    assert plain(one_by_one) == plain(packed)


@pytest.mark.parametrize("field", [one.name for one in pb.PackedFrames.DESCRIPTOR.fields if one.name != "action_units"])
def test_arrays_that_do_not_belong_together_are_a_fault_of_the_engine(field: str):
    unit = {"AU12": ActionUnitValue(1.5, True)}
    face = FaceResult((1.0, 2.0, 3.0, 4.0), 0.9, Pose(0, 0, 0), unit, 0.1, False, (0.2, 0.3, 0.5), b"\0\0")
    reply = to_proto(VideoResult(64, 48, 25.0, ("AU12",), (FrameResult(0, 0.0, (face,)),), CLASSES), {}, packed=True)
    assert series_from(reply).frames[0].faces[0].intensity == {"AU12": 1.5}
    reply.packed.ClearField(field)
    with pytest.raises(EngineFault, match="packed"):
        series_from(reply)


class FormerActionUnits(ActionUnits):
    """As of merrflow 0.1.0, which does not know the field `packed`."""

    async def Detect(self, request, context):  # noqa: N802
        request.ClearField("packed")
        return await super().Detect(request, context)


async def test_services_and_clients_of_either_age_understand_each_other(tmp_path):
    path = make_video(tmp_path / "red.mp4", "red")
    former = replace(
        SPEC,
        register=lambda service, server: pb_grpc.add_ActionUnitsServicer_to_server(FormerActionUnits(service), server),
    )
    found = {}
    for name, spec in (("now", SPEC), ("former", former)):
        async with served("openface-au", FakeActionUnits, spec=spec) as server:
            async with Services({"openface-au": server.address}, load_settings(None)) as services:
                await services.wait_ready()
                found[name] = (await services.action_units("red", path)).value
                request = pb.DetectRequest(video=common_pb2.Media(data=path.read_bytes()))  # of an old client
                reply = await services.connections["openface-au"].send(request)
        assert not reply.HasField("packed") and series_from(reply) == found[name]
    assert found["now"] == found["former"]
    assert len(found["now"].frames) > 1 and math.isclose(found["now"].frames[0].faces[0].confidence, 0.95)

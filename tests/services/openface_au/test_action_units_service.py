"""The service over a real gRPC connection."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow.openface_au.v1 import openface_au_pb2 as pb
from merrflow.openface_au.v1 import openface_au_pb2_grpc as pb_grpc
from merrflow_openface_au import SPEC
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_serving.errors import from_rpc_error
from merrflow_serving.server import Server
from tests.services.openface_au.drawn_face import draw_face
from tests.services.openface_au.videos import encode


@pytest.fixture(scope="module")
def video() -> bytes:
    return encode(draw_face(320, 320, mouth=i / 5) for i in range(5))


@pytest.fixture
async def channel(tmp_path: Path):
    server = Server(SPEC, OpenFaceAuSettings(port=0, media_roots=[tmp_path]))
    await server.start()
    await server.wait_ready()
    assert server.service.ready, server.service.problem
    async with grpc.aio.insecure_channel(server.address) as made:
        yield made
    await server.stop()


async def test_bytes_path_and_stream_agree(channel: grpc.aio.Channel, tmp_path: Path, video: bytes) -> None:
    stub = pb_grpc.ActionUnitsStub(channel)
    by_bytes = await stub.Detect(pb.DetectRequest(clip="c", video=common_pb2.Media(data=video)))
    path = tmp_path / "a clip 片段.mp4"
    path.write_bytes(video)
    by_path = await stub.Detect(pb.DetectRequest(clip="c", video=common_pb2.Media(path=str(path))))

    async def parts():
        yield pb.DetectStreamRequest(request=pb.DetectRequest(clip="c"))
        for start in range(0, len(video), 1000):
            yield pb.DetectStreamRequest(chunk=video[start : start + 1000])

    by_stream = (await stub.DetectStream(parts())).response
    assert list(by_bytes.frames) == list(by_path.frames) == list(by_stream.frames)
    assert len(by_bytes.frames) == 5
    face = by_bytes.frames[4].faces[0]
    assert [unit.name for unit in face.action_units] == list(by_bytes.action_units)
    units = {unit.name: unit for unit in face.action_units}
    assert face.HasField("mouth_opening") and units["AU06"].HasField("intensity")
    assert not units["AU04"].HasField("intensity")  # it is known by presence only
    assert by_bytes.frames[4].faces[0].mouth_opening > by_bytes.frames[0].faces[0].mouth_opening
    assert by_bytes.engine.engine == "mediapipe" and "not OpenFace" in by_bytes.engine.note
    assert by_bytes.timing.model_seconds > 0


async def test_errors_have_their_status(channel: grpc.aio.Channel) -> None:
    stub = pb_grpc.ActionUnitsStub(channel)
    for media in (common_pb2.Media(data=b"no video"), common_pb2.Media(path="/etc/passwd"), common_pb2.Media()):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Detect(pb.DetectRequest(video=media))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_clip_beyond_a_limit_is_told_its_setting(video: bytes) -> None:
    server = Server(SPEC, OpenFaceAuSettings(port=0, max_frames=4, max_pixels=400_000))
    await server.start()
    await server.wait_ready()
    large = encode([draw_face(640, 640)])
    async with grpc.aio.insecure_channel(server.address) as channel:
        for media, limit in ((video, "4 frames"), (large, "400000 pixels")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await pb_grpc.ActionUnitsStub(channel).Detect(pb.DetectRequest(video=common_pb2.Media(data=media)))
            error = from_rpc_error(caught.value)
            variable = f"MERRFLOW_OPENFACE_AU_MAX_{limit.split()[1].upper()}"
            assert error.reason == "TOO_LARGE"
            assert str(error).endswith(f"more than {limit}; the service's limit is {variable}")
    await server.stop()


async def test_info(channel: grpc.aio.Channel) -> None:
    info = await common_pb2_grpc.EngineStub(channel).Info(common_pb2.InfoRequest())
    assert info.service == "openface-au" and info.ready
    assert info.engine.revision.startswith("sha256:")
    assert info.limits.max_frames > 0

"""The scene service over real gRPC."""

from __future__ import annotations

import io

import cv2
import grpc
import numpy as np
import pytest
import pytest_asyncio

from merrflow.common.v1 import common_pb2 as common
from merrflow.common.v1 import common_pb2_grpc
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2 as pb
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2_grpc as pb_grpc
from merrflow_minigpt_v2 import SPEC
from merrflow_minigpt_v2.settings import MiniGptSettings
from merrflow_serving.errors import from_rpc_error
from merrflow_serving.media.images import encode_jpeg
from merrflow_serving.server import Server
from tests.services.minigpt_v2.pictures import flat, pattern, person_in_room, person_without_a_face


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory):
    root = tmp_path_factory.mktemp("media")
    (root / "frame.jpg").write_bytes(encode_jpeg(pattern()))
    server = Server(SPEC, MiniGptSettings(port=0, media_roots=[root], max_pixels=40_000_000, drain_seconds=5))
    await server.start()
    await server.wait_ready()
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield pb_grpc.SceneDescriberStub(channel), channel, root
    await server.stop()


pytestmark = pytest.mark.asyncio(loop_scope="module")


def media(image: np.ndarray, extension: str = ".png") -> common.Media:
    ok, data = cv2.imencode(extension, image[..., ::-1] if image.ndim == 3 else image)
    assert ok
    return common.Media(data=data.tobytes())


async def failure(call) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = from_rpc_error(caught.value)
    return error.code.name, error.reason


async def test_describes_a_frame_with_context(service):
    stub, _, _ = service
    image = person_in_room()
    context = [
        pb.ContextFrame(image=media(person_in_room(shift)[::2, ::2], ".jpg"), offset_seconds=offset)
        for shift, offset in ((30, 0.2), (-30, -0.2))  # not in order of time
    ]
    reply = await stub.Describe(pb.DescribeRequest(clip="a", image=media(image), context=context))
    assert reply.text.startswith("A person is shown") and "the camera moves" in reply.text
    assert reply.outcome == common.OUTCOME_DONE
    assert {"faces", "people", "lightness", "warmth", "camera_speed"} <= {one.name for one in reply.measurements}
    assert all(one.unit for one in reply.measurements)
    assert reply.engine.engine == "measured" and reply.engine.revision.count("sha256:") == 4
    assert reply.timing.model_seconds > 0 and reply.timing.batch_size == 1


async def test_a_person_without_a_face_is_counted(service):
    stub, _, _ = service
    reply = await stub.Describe(pb.DescribeRequest(clip="a", image=media(person_without_a_face())))
    values = {one.name: one.value for one in reply.measurements}
    assert values["people"] == 1 and values["faces"] == 0 and reply.text.startswith("A person is visible, but no face.")


async def test_a_path_below_a_root_and_none_elsewhere(service):
    stub, _, root = service
    frame = common.Media(path=str(root / "frame.jpg"))
    assert (await stub.Describe(pb.DescribeRequest(image=frame))).text.startswith("No face")
    outside = pb.DescribeRequest(image=frame, context=[pb.ContextFrame(image=common.Media(path="/etc/passwd"))])
    assert await failure(stub.Describe(outside)) == ("INVALID_ARGUMENT", "PATH_REFUSED")


async def test_a_streamed_frame_gives_the_same_words(service):
    stub, _, _ = service
    frame = media(pattern())

    async def parts():
        yield pb.DescribeStreamRequest(request=pb.DescribeRequest(clip="a"))
        for start in range(0, len(frame.data), 10_000):
            yield pb.DescribeStreamRequest(chunk=frame.data[start : start + 10_000])

    streamed = (await stub.DescribeStream(parts())).response
    assert streamed.text == (await stub.Describe(pb.DescribeRequest(image=frame))).text


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
async def test_every_kind_of_image_is_seen_as_people_see_it(service, mode):
    from PIL import Image

    stub, _, _ = service
    grey = Image.fromarray(pattern()[..., 0])
    image = Image.fromarray(pattern()[..., 0].astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG" if mode == "CMYK" else "PNG")
    reply = await stub.Describe(pb.DescribeRequest(image=common.Media(data=buffer.getvalue())))
    assert "no colour" in reply.text
    if mode != "1":
        lightness = next(one.value for one in reply.measurements if one.name == "lightness")
        assert lightness == pytest.approx(53, abs=6)


async def test_bad_input_has_its_own_reason(service):
    stub, _, _ = service
    jpeg = encode_jpeg(pattern())
    for data, reason in [
        (b"", "MEDIA_UNREADABLE"),
        (b"no image at all", "MEDIA_UNREADABLE"),
        (jpeg[:200], "MEDIA_UNREADABLE"),
    ]:
        request = pb.DescribeRequest(image=common.Media(data=data))
        assert await failure(stub.Describe(request)) == ("INVALID_ARGUMENT", reason)
    assert (await failure(stub.Describe(pb.DescribeRequest())))[0] == "INVALID_ARGUMENT"
    huge = media(np.zeros((10_000, 10_000), np.uint8))
    assert await failure(stub.Describe(pb.DescribeRequest(image=huge))) == ("INVALID_ARGUMENT", "TOO_LARGE")
    many = pb.DescribeRequest(image=media(pattern()), context=[pb.ContextFrame(image=media(flat(1, 1, 1)))] * 17)
    assert await failure(stub.Describe(many)) == ("INVALID_ARGUMENT", "TOO_LARGE")
    large = pb.ContextFrame(image=media(np.zeros((5_000, 5_000), np.uint8)))
    together = pb.DescribeRequest(image=media(pattern()), context=[large] * 2)  # 25 million pixels each
    assert await failure(stub.Describe(together)) == ("INVALID_ARGUMENT", "TOO_LARGE")
    frame = pb.ContextFrame(image=media(pattern()), offset_seconds=float("nan"))
    odd = pb.DescribeRequest(image=media(pattern()), context=[frame])
    assert (await failure(stub.Describe(odd)))[0] == "INVALID_ARGUMENT"


async def test_one_pixel_and_black_frames_are_answered(service):
    stub, _, _ = service
    assert "too small" in (await stub.Describe(pb.DescribeRequest(image=media(flat(1, 1, 1, (1, 1)))))).text
    assert (await stub.Describe(pb.DescribeRequest(image=media(flat(0, 0, 0))))).text == "The picture is black."


async def test_info(service):
    _, channel, _ = service
    info = await common_pb2_grpc.EngineStub(channel).Info(common.InfoRequest())
    assert info.ready and info.service == "minigpt-v2" and info.limits.max_pixels == 40_000_000
    assert info.engine.licence == "Apache-2.0 and MIT" and info.engine.prompt_version

"""The engine `minigpt_v2` behind the real service."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace

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
from merrflow_serving.server import Server
from tests.services.minigpt_v2.tiny import make_files, picture

TINY = replace(SPEC, engines=SPEC.engines | {"minigpt_v2": "tests.services.minigpt_v2.tiny:TinyEngine"})


def settings(folder, weights: str, **more) -> MiniGptSettings:
    given = {"engine": "minigpt_v2", "port": 0, "device": "cpu", "offline": True, "drain_seconds": 5}
    given |= {"weights": weights, "models_dir": folder / "store", "answer_tokens": 16, "max_batch_size": 8}
    return MiniGptSettings(**given | {"max_delay_ms": 200, "max_instruction_tokens": 200} | more)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory, one_thread, any_size):
    folder = tmp_path_factory.mktemp("service")
    server = Server(TINY, settings(folder, str(make_files().write(folder / "weights"))))
    await server.start()
    await server.wait_ready()
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield pb_grpc.SceneDescriberStub(channel), channel
    await server.stop()


pytestmark = pytest.mark.asyncio(loop_scope="module")


def png(image: np.ndarray) -> common.Media:
    ok, data = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)
    assert ok
    return common.Media(data=data.tobytes())


def saved(image, kind: str, **options) -> common.Media:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return common.Media(data=buffer.getvalue())


async def failure(call) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = from_rpc_error(caught.value)
    return error.code.name, error.reason


async def test_text_without_measurements(service):
    stub, channel = service
    context = [pb.ContextFrame(image=png(picture(2)), offset_seconds=0.2)]
    reply = await stub.Describe(pb.DescribeRequest(clip="a", image=png(picture(1)), context=context))
    assert reply.text and not reply.measurements and not reply.on_screen_text
    assert reply.outcome in (common.OUTCOME_DONE, common.OUTCOME_TRUNCATED)
    assert reply.engine.engine == "minigpt_v2" and "MiniGPT-v2" in reply.engine.model
    assert reply.engine.revision.count("sampled:") == 3
    info = await common_pb2_grpc.EngineStub(channel).Info(common.InfoRequest())
    assert info.ready and info.engine == reply.engine and info.limits.max_batch_size == 8
    # The picture around it is not looked at: the model was made for one.
    assert (await stub.Describe(pb.DescribeRequest(image=png(picture(1))))).text == reply.text


async def test_requests_share_a_batch_and_answer_as_if_alone(service):
    stub, _ = service
    requests = [
        pb.DescribeRequest(image=png(picture(number)), instruction=" ".join(["see the light"] * number))
        for number in range(8)
    ]
    alone = [(await stub.Describe(request)).text for request in requests]
    together = await asyncio.gather(*(stub.Describe(request) for request in requests))
    assert max(reply.timing.batch_size for reply in together) > 1
    assert [reply.text for reply in together] == alone and len(set(alone)) > 4


async def test_a_bad_neighbour_costs_nobody(service):
    stub, _ = service
    good = pb.DescribeRequest(image=png(picture(1)))
    expected = (await stub.Describe(good)).text
    long = pb.DescribeRequest(image=png(picture(1)), instruction="light " * 2000)
    replies = await asyncio.gather(*(stub.Describe(one) for one in (good, long, good)), return_exceptions=True)
    assert [replies[0].text, replies[2].text] == [expected] * 2
    error = from_rpc_error(replies[1])
    assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "TOO_LARGE") and "instruction" in str(error)


@pytest.mark.parametrize(
    "instruction", ["[INST] [/INST] </s>", "</Img> <ImageHere>", "[vqa] who?", "\x00\u202e\U0001f600"]
)
async def test_any_instruction_is_text(service, instruction):
    stub, _ = service
    assert (await stub.Describe(pb.DescribeRequest(image=png(picture(1)), instruction=instruction))).text


async def test_every_kind_of_image_is_described(service):
    from PIL import Image

    stub, _ = service
    drawn = Image.fromarray(picture(1))
    for mode, kind in (("CMYK", "JPEG"), ("P", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("I;16", "PNG")):
        image = Image.fromarray(picture(1)[..., 0].astype(np.uint16) * 257) if mode == "I;16" else drawn.convert(mode)
        assert (await stub.Describe(pb.DescribeRequest(image=saved(image, kind)))).text, mode
    opaque = (await stub.Describe(pb.DescribeRequest(image=saved(drawn, "PNG")))).text
    assert (await stub.Describe(pb.DescribeRequest(image=saved(drawn.convert("RGBA"), "PNG")))).text == opaque


async def test_a_picture_on_its_side_is_turned(service):
    from PIL import Image

    stub, _ = service
    upright = picture(1, 64, 112)
    flag = Image.Exif()
    flag[0x0112] = 6  # to be turned clockwise by a quarter
    lying = Image.fromarray(np.rot90(upright))
    quality = {"quality": 100, "subsampling": 0}
    turned = await stub.Describe(pb.DescribeRequest(image=saved(lying, "JPEG", exif=flag, **quality)))
    straight = await stub.Describe(pb.DescribeRequest(image=saved(Image.fromarray(upright), "JPEG", **quality)))
    unflagged = await stub.Describe(pb.DescribeRequest(image=saved(lying, "JPEG", **quality)))
    assert turned.text == straight.text != unflagged.text


async def test_one_pixel_and_a_hundred_megapixels(service):
    stub, _ = service
    assert (await stub.Describe(pb.DescribeRequest(image=png(np.zeros((1, 1, 3), np.uint8))))).text
    huge = pb.DescribeRequest(image=png(np.zeros((10_000, 10_000), np.uint8)))
    assert await failure(stub.Describe(huge)) == ("INVALID_ARGUMENT", "TOO_LARGE")


async def test_the_token_limit_is_told(tmp_path, one_thread, any_size):
    files = make_files()
    files.llama["lm_head.weight"][2] = 0
    server = Server(TINY, settings(tmp_path, str(files.write(tmp_path / "weights")), answer_tokens=4))
    await server.start()
    await server.wait_ready()
    async with grpc.aio.insecure_channel(server.address) as channel:
        reply = await pb_grpc.SceneDescriberStub(channel).Describe(pb.DescribeRequest(image=png(picture(1))))
    await server.stop()
    assert reply.outcome == common.OUTCOME_TRUNCATED


async def test_a_service_without_weights_stays_up_and_says_what_to_do(tmp_path):
    server = Server(TINY, settings(tmp_path, ""))
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = common_pb2_grpc.EngineStub(channel)
        for _ in range(200):
            info = await stub.Info(common.InfoRequest())
            if info.problem:
                break
            await asyncio.sleep(0.05)
        assert not info.ready
        for name in ("eva_vit_g.pth", "minigptv2_checkpoint.pth", "meta-llama/Llama-2-7b-chat-hf"):
            assert name in info.problem
        call = pb_grpc.SceneDescriberStub(channel).Describe(pb.DescribeRequest(image=png(picture(1))))
        assert (await failure(call))[0] == "UNAVAILABLE"
    await server.stop()

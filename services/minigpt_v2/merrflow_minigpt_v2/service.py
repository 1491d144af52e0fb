"""The gRPC side of the service: decodes a frame and its context, runs the engine, answers with its description."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import numpy as np

from merrflow.minigpt_v2.v1 import minigpt_v2_pb2 as pb
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2_grpc
from merrflow_minigpt_v2.settings import MiniGptSettings
from merrflow_minigpt_v2.types import ContextFrame, Scene, SceneItem
from merrflow_serving.answers import measurement_messages
from merrflow_serving.errors import InvalidInput, TooLarge
from merrflow_serving.media.images import decode_image

if TYPE_CHECKING:
    import grpc

    from merrflow_serving.service import Service

    Context = grpc.aio.ServicerContext[Any, Any]


class SceneDescriber(minigpt_v2_pb2_grpc.SceneDescriberServicer):
    """`merrflow.minigpt_v2.v1.SceneDescriber`, with whichever engine is loaded."""

    def __init__(self, service: Service[MiniGptSettings]) -> None:
        self.service = service

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:  # noqa: N802
        item = await self.service.offload(self._decode, request)
        answer = await self.service.run(item, clip=request.clip)
        return to_proto(answer.result, self.service.stamp(answer))

    async def DescribeStream(  # noqa: N802
        self, parts: AsyncIterator[pb.DescribeStreamRequest], context: Context
    ) -> pb.DescribeStreamResponse:
        """As `Describe`, for frames above the message limit."""
        request = await self.service.receive(parts, field="image")
        return pb.DescribeStreamResponse(response=await self.Describe(request, context))

    def _decode(self, request: pb.DescribeRequest) -> SceneItem:
        settings = self.service.settings
        if len(request.context) > settings.max_context:
            raise TooLarge(f"more than {settings.max_context} frames of context")
        if not all(np.isfinite(frame.offset_seconds) for frame in request.context):
            raise InvalidInput("a context frame's offset_seconds is not a number")
        image = decode_image(self.service.source(request.image), max_pixels=settings.max_pixels)
        frames: list[ContextFrame] = []
        left = settings.max_pixels
        for frame in request.context:
            picture = decode_image(self.service.source(frame.image), max_pixels=max(1, left))
            left -= picture.shape[0] * picture.shape[1]
            frames.append(ContextFrame(frame.offset_seconds, picture))
        frames.sort(key=lambda frame: frame.offset_seconds)
        return SceneItem(image, tuple(frames), request.instruction)


def to_proto(scene: Scene, stamp: dict[str, Any]) -> pb.DescribeResponse:
    """A `Scene` as the reply. `stamp` holds `timing` and `engine`."""
    return pb.DescribeResponse(
        text=scene.text,
        outcome=scene.outcome.to_proto(),
        measurements=measurement_messages(scene.measurements),
        on_screen_text=scene.on_screen_text,
        **stamp,
    )


def register(service: Service[MiniGptSettings], server: grpc.aio.Server) -> None:
    minigpt_v2_pb2_grpc.add_SceneDescriberServicer_to_server(SceneDescriber(service), server)


def warmup_item() -> SceneItem:
    """A drawn frame with edges, colour and a neighbour, so that every part of an engine runs once."""
    rows, columns = np.mgrid[0:180, 0:320]
    image = np.stack([columns % 256, rows, (rows // 20 + columns // 20) % 2 * 255], axis=2).astype(np.uint8)
    return SceneItem(image, (ContextFrame(-0.2, np.roll(image, 4, axis=1)),))

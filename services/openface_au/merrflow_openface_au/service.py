"""The gRPC side of the service: `merrflow.openface_au.v1.ActionUnits`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import grpc

from merrflow.openface_au.v1 import openface_au_pb2 as pb
from merrflow.openface_au.v1 import openface_au_pb2_grpc as pb_grpc
from merrflow_openface_au.answer import to_proto
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_serving.errors import TooLarge, TooManyFrames, TooManyPixels

if TYPE_CHECKING:
    from merrflow_serving.service import Service

    Context = grpc.aio.ServicerContext[Any, Any]


class ActionUnits(pb_grpc.ActionUnitsServicer):
    """Answers Detect and DetectStream; errors go to the serving layer's interceptor."""

    def __init__(self, service: Service[OpenFaceAuSettings]) -> None:
        self.service = service

    async def Detect(  # noqa: N802
        self, request: pb.DetectRequest, context: Context
    ) -> pb.DetectResponse:
        try:
            answer = await self.service.run(self.service.source(request.video), clip=request.clip)
        except (TooManyPixels, TooManyFrames) as error:
            setting = "max_pixels" if isinstance(error, TooManyPixels) else "max_frames"
            raise TooLarge(f"{error}; the service's limit is {self.service.settings.variable(setting)}") from error
        reply = partial(to_proto, answer.result, self.service.stamp(answer), packed=request.packed)
        return await self.service.offload(reply)

    async def DetectStream(  # noqa: N802
        self, parts: AsyncIterator[pb.DetectStreamRequest], context: Context
    ) -> pb.DetectStreamResponse:
        request = await self.service.receive(parts, field="video")
        return pb.DetectStreamResponse(response=await self.Detect(request, context))


def register(service: Service[OpenFaceAuSettings], server: grpc.aio.Server) -> None:
    pb_grpc.add_ActionUnitsServicer_to_server(ActionUnits(service), server)


def warmup_item() -> bytes:
    """A PNG file of a drawn face: finding it uses every model of the engine."""
    return (files(__package__) / "data" / "warmup.png").read_bytes()

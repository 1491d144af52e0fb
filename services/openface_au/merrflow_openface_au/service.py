"""The gRPC side of the service: `merrflow.openface_au.v1.ActionUnits`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import grpc

from merrflow.openface_au.v1 import openface_au_pb2 as pb
from merrflow.openface_au.v1 import openface_au_pb2_grpc as pb_grpc
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import FaceResult, VideoResult

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
        answer = await self.service.run(self.service.source(request.video), clip=request.clip)
        return await self.service.offload(to_proto, answer.result, self.service.stamp(answer))

    async def DetectStream(  # noqa: N802
        self, parts: AsyncIterator[pb.DetectStreamRequest], context: Context
    ) -> pb.DetectStreamResponse:
        request = await self.service.receive(parts, field="video")
        return pb.DetectStreamResponse(response=await self.Detect(request, context))


def register(service: Service[OpenFaceAuSettings], server: grpc.aio.Server) -> None:
    pb_grpc.add_ActionUnitsServicer_to_server(ActionUnits(service), server)


def to_proto(result: VideoResult, stamp: dict[str, Any]) -> pb.DetectResponse:
    """A `VideoResult` as the reply. `stamp` holds `timing` and `engine`."""
    return pb.DetectResponse(
        frames=[
            pb.Frame(
                index=frame.index,
                timestamp_seconds=frame.timestamp,
                faces=[_face(face) for face in frame.faces],
            )
            for frame in result.frames
        ],
        width=result.width,
        height=result.height,
        fps=result.fps,
        action_units=result.action_units,
        expression_classes=result.expression_classes,
        **stamp,
    )


def _face(face: FaceResult) -> pb.Face:
    x, y, width, height = face.box
    return pb.Face(
        box=pb.Box(x=x, y=y, width=width, height=height),
        confidence=face.confidence,
        pose=pb.HeadPose(pitch=face.pose.pitch, yaw=face.pose.yaw, roll=face.pose.roll),
        action_units=[
            pb.ActionUnit(name=name, intensity=unit.intensity, present=unit.present)
            for name, unit in face.action_units.items()
        ],
        mouth_opening=face.mouth_opening,
        second_pass=face.second_pass,
        expression=face.expression,
        embedding=face.embedding,
    )


def warmup_item() -> bytes:
    """A PNG file of a drawn face: finding it uses every model of the engine."""
    return (files(__package__) / "data" / "warmup.png").read_bytes()

"""The gRPC side of the service: decodes a recording, runs the engine, answers with a sentence and measurements."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import grpc

from merrflow.qwen_audio.v1 import qwen_audio_pb2 as pb
from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc
from merrflow_qwen_audio.settings import QwenAudioSettings
from merrflow_qwen_audio.types import Tone, ToneItem
from merrflow_serving.answers import measurement_messages
from merrflow_serving.media.audio import decode_audio
from merrflow_serving.service import Service

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


class ToneDescriber(qwen_audio_pb2_grpc.ToneDescriberServicer):
    """`merrflow.qwen_audio.v1.ToneDescriber`. Errors are `MerrflowError`s, mapped by the shared interceptor."""

    def __init__(self, service: Service[QwenAudioSettings]) -> None:
        self.service = service

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:  # noqa: N802
        source = self.service.source(request.audio)
        decode = partial(decode_audio, max_seconds=self.service.settings.max_seconds)
        samples = await self.service.offload(decode, source)
        answer = await self.service.run(ToneItem(samples, request.instruction), clip=request.clip)
        return to_proto(answer.result, self.service.stamp(answer))

    async def DescribeStream(  # noqa: N802
        self, parts: AsyncIterator[pb.DescribeStreamRequest], context: Context
    ) -> pb.DescribeStreamResponse:
        """As `Describe`, for media above the message limit."""
        request = await self.service.receive(parts, field="audio")
        return pb.DescribeStreamResponse(response=await self.Describe(request, context))


def to_proto(tone: Tone, stamp: dict[str, Any]) -> pb.DescribeResponse:
    """A `Tone` as the reply. `stamp` holds `timing` and `engine`."""
    return pb.DescribeResponse(
        text=tone.text,
        outcome=tone.outcome.to_proto(),
        content=f"CONTENT_{tone.content.name}",
        measurements=measurement_messages(tone.measurements),
        speech=[pb.Span(start_seconds=span.start, end_seconds=span.end) for span in tone.speech],
        **stamp,
    )


def register(service: Service[QwenAudioSettings], server: grpc.aio.Server) -> None:
    qwen_audio_pb2_grpc.add_ToneDescriberServicer_to_server(ToneDescriber(service), server)


def warmup_item() -> ToneItem:
    """Two seconds of synthetic vowels, sent through an engine after it is loaded."""
    return ToneItem(decode_audio((files(__package__) / "data" / "warmup.wav").read_bytes()))

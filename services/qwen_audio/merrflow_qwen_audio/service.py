"""The gRPC side: media in, one sentence and its measurements out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import grpc

from merrflow.qwen_audio.v1 import qwen_audio_pb2 as pb
from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc
from merrflow_qwen_audio.types import Tone, ToneItem
from merrflow_serving.answers import measurement_messages
from merrflow_serving.batching import Answer
from merrflow_serving.media.audio import decode_audio
from merrflow_serving.service import Service


class ToneDescriber(qwen_audio_pb2_grpc.ToneDescriberServicer):
    """`merrflow.qwen_audio.v1.ToneDescriber`. Errors are `MerrflowError`s, mapped by the shared interceptor."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def Describe(self, request: pb.DescribeRequest, context: grpc.aio.ServicerContext) -> pb.DescribeResponse:
        """Decodes the sound beside the event loop and asks the engine."""
        source = self.service.source(request.audio)
        decode = partial(decode_audio, max_seconds=self.service.settings.max_seconds)
        samples = await self.service.offload(decode, source)
        answer = await self.service.run(ToneItem(samples, request.instruction), clip=request.clip)
        return to_proto(answer, self.service)

    async def DescribeStream(
        self, parts: AsyncIterator[pb.DescribeStreamRequest], context: grpc.aio.ServicerContext
    ) -> pb.DescribeStreamResponse:
        """The same for media above the message limit."""
        request = await self.service.receive(parts, field="audio")
        return pb.DescribeStreamResponse(response=await self.Describe(request, context))


def to_proto(answer: Answer, service: Service) -> pb.DescribeResponse:
    """A `Tone` as it travels."""
    tone: Tone = answer.result
    return pb.DescribeResponse(
        text=tone.text,
        outcome=tone.outcome.to_proto(),
        content=pb.Content.Value(f"CONTENT_{tone.content.name}"),
        measurements=measurement_messages(tone.measurements),
        speech=[pb.Span(start_seconds=span.start, end_seconds=span.end) for span in tone.speech],
        **service.stamp(answer),
    )


def register(service: Service, server: grpc.aio.Server) -> None:
    """Adds the servicer to the server."""
    qwen_audio_pb2_grpc.add_ToneDescriberServicer_to_server(ToneDescriber(service), server)

"""The gRPC side of the service: decodes a recording, runs the engine, answers with what is said."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from merrflow.whisper.v1 import whisper_pb2 as pb
from merrflow.whisper.v1 import whisper_pb2_grpc
from merrflow_serving.errors import InvalidInput
from merrflow_serving.media.audio import decode_audio
from merrflow_serving.service import Service
from merrflow_whisper.settings import WhisperSettings
from merrflow_whisper.types import SAMPLE_RATE, Segment, SpeechItem, Transcript

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

_LANGUAGE = re.compile(r"[a-z]{2,3}")


class Transcriber(whisper_pb2_grpc.TranscriberServicer):
    """`merrflow.whisper.v1.Transcriber`. Errors are `MerrflowError`s, mapped by the shared interceptor."""

    def __init__(self, service: Service[WhisperSettings]) -> None:
        self.service = service

    async def Transcribe(self, request: pb.TranscribeRequest, context: Context) -> pb.TranscribeResponse:  # noqa: N802
        """Transcribes one recording."""
        settings = self.service.settings
        language = request.language or settings.language
        if language and not _LANGUAGE.fullmatch(language):
            raise InvalidInput("language: a code of two or three small letters, such as `zh`")
        source = self.service.source(request.audio)
        decode = partial(decode_audio, max_seconds=settings.max_seconds, language=language)
        samples = await self.service.offload(decode, source)
        answer = await self.service.run(SpeechItem(samples, language), clip=request.clip)
        return to_proto(answer.result, self.service.stamp(answer))

    async def TranscribeStream(  # noqa: N802
        self, parts: AsyncIterator[pb.TranscribeStreamRequest], context: Context
    ) -> pb.TranscribeStreamResponse:
        """As `Transcribe`, for media above the message limit."""
        request = await self.service.receive(parts, field="audio")
        return pb.TranscribeStreamResponse(response=await self.Transcribe(request, context))


def to_proto(transcript: Transcript, stamp: dict[str, Any]) -> pb.TranscribeResponse:
    """A `Transcript` as the reply. `stamp` holds `timing` and `engine`."""
    return pb.TranscribeResponse(
        text=transcript.text,
        outcome=transcript.outcome.to_proto(),
        reason=transcript.reason,
        segments=map(_segment, transcript.segments),
        language=transcript.language,
        language_probability=transcript.language_probability,
        **stamp,
    )


def _segment(segment: Segment) -> pb.Segment:
    return pb.Segment(
        start_seconds=segment.start,
        end_seconds=segment.end,
        text=segment.text,
        confidence=segment.confidence,
        no_speech_probability=segment.no_speech,
        rejected=segment.rejected,
    )


def register(service: Service[WhisperSettings], server: grpc.aio.Server) -> None:
    """Adds the servicer to the server."""
    whisper_pb2_grpc.add_TranscriberServicer_to_server(Transcriber(service), server)


def warmup_item() -> SpeechItem:
    """A second of faint noise with the language given, so that the model itself runs once."""
    noise = np.random.default_rng(0).normal(0.0, 0.01, SAMPLE_RATE).astype(np.float32)
    return SpeechItem(noise, "en")

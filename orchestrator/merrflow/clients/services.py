"""Clients of the services: frozen dataclasses in, frozen dataclasses and their origin out.

How a call finds its replica, and what is tried again, is in `connection.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from merrflow.clients.connection import Connection
from merrflow.clients.events import ServiceEvent
from merrflow.clients.faces import series_from
from merrflow.clients.identity import Identity, identity, limits_of
from merrflow.clients.remote import HOW_TO_ALLOW, destinations
from merrflow.clients.rpc import rpc_taking
from merrflow.common.v1 import common_pb2
from merrflow.core.errors import InputError
from merrflow.core.labels import LabelScores
from merrflow.core.measurements import ActionUnitSeries
from merrflow.core.paths import path_text
from merrflow.core.records import Outcome
from merrflow.core.settings import RunSettings
from merrflow.core.signal import Signal
from merrflow.core.spoken import SpeechSegment, Transcript, Translation
from merrflow.core.texts import Clues, Origin, Reasoning, Scene, Tone
from merrflow.core.usage import Usage
from merrflow.llama3.v1 import llama3_pb2
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2
from merrflow.openface_au.v1 import openface_au_pb2
from merrflow.qwen_audio.v1 import qwen_audio_pb2
from merrflow.stages.stage import Reply, Value
from merrflow.whisper.v1 import whisper_pb2
from merrflow_serving.errors import EngineFault, MerrflowError, NotReady, TooLarge

_OUTCOMES = {
    common_pb2.OUTCOME_DONE: Outcome.DONE,
    common_pb2.OUTCOME_TRUNCATED: Outcome.TRUNCATED,
    common_pb2.OUTCOME_REFUSED: Outcome.REFUSED,
    common_pb2.OUTCOME_REJECTED: Outcome.REJECTED,
    common_pb2.OUTCOME_NO_GROUND: Outcome.NO_GROUND,
}


@dataclass(frozen=True)
class Answer(Reply[Value]):
    """A service's reply: `value`, `outcome`, `reason` why that is not DONE, and always who answered."""

    origin: Origin


class Services:
    """The services as the pipeline sees them. An async context manager: connects, and closes."""

    def __init__(self, addresses: dict[str, str], settings: RunSettings, given_by: str = "") -> None:
        """given_by: the setting that has the addresses, for messages; "" for each service's own."""
        self._settings = settings
        self.events: Signal[[ServiceEvent]] = Signal()  # of all services: lost replicas, calls tried again
        self.connections = {
            name: Connection(name, addresses[name], settings, self.events, given_by) for name in addresses
        }

    async def __aenter__(self) -> Services:
        try:
            await asyncio.gather(*(connection.connect() for connection in self.connections.values()))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(*(connection.close() for connection in self.connections.values()))

    async def wait_ready(self, say: Callable[[str], None] = lambda text: None) -> None:
        """Returns once all are warm. Raises `NotReady` for the first that cannot be. say: see `Connection`."""
        try:
            await asyncio.gather(*(connection.wait_ready(say) for connection in self.connections.values()))
        except NotReady:
            self._raise_if_kept_here()
            raise

    def raise_if_broken(self) -> None:
        """Raises `NotReady` with what to do if a service has already said that it cannot work."""
        self._raise_if_kept_here()
        for connection in self.connections.values():
            connection.replicas.raise_if_broken()

    def destinations(self) -> tuple[str, ...]:
        """What is sent beyond this machine and its private network, and where to: a sentence for each service."""
        return destinations(
            (name, replica.info) for name, connection in self.connections.items() for replica in connection.replicas
        )

    def _raise_if_kept_here(self) -> None:
        """All services in one message, so that whoever allows it knows all that is sent."""
        leaving = self.destinations()
        if leaving and not self._settings.allow_remote:
            raise NotReady(f"{'; '.join(leaving)}: {HOW_TO_ALLOW}")

    def identities(self) -> dict[str, Identity]:
        """The identity of each service's engine."""
        return {name: identity(connection.info.engine) for name, connection in self.connections.items()}

    def limits(self) -> dict[str, Identity]:
        """What each service refuses as too large."""
        return {name: limits_of(connection.info.limits) for name, connection in self.connections.items()}

    async def action_units(self, clip: str, path: Path) -> Answer[ActionUnitSeries]:
        """Measures a whole clip. The service reads the file itself if the setting `send_paths` says that it can."""
        if self._settings.send_paths and path_text(path) == str(path):  # gRPC carries no other names
            request = openface_au_pb2.DetectRequest(clip=clip, packed=True)
            request.video.path = str(path)
            try:
                return _action_units(await self._send(request))
            except MerrflowError as error:
                # The path may lead out of the service's folders, or its file have been away for a moment: only of its
                # bytes is it believed that they are no good.
                if error.code is not grpc.StatusCode.INVALID_ARGUMENT or error.reason == TooLarge.reason:
                    raise
        return await self.action_units_in(clip, await asyncio.to_thread(path.read_bytes))

    async def action_units_in(self, clip: str, video: bytes) -> Answer[ActionUnitSeries]:
        """The same for the bytes of a video file."""
        return _action_units(await self._send(openface_au_pb2.DetectRequest(clip=clip, packed=True), video))

    async def scene(self, clip: str, image: bytes, context: Sequence[tuple[float, bytes]]) -> Answer[Scene]:
        """Describes a frame (an image file) with frames around it (seconds after it, an image file)."""
        request = minigpt_v2_pb2.DescribeRequest(clip=clip)
        for offset, frame in context:
            request.context.add(offset_seconds=offset).image.data = frame
        reply = await self._send(request, image)
        scene = Scene(reply.text, _measurements(reply), tuple(reply.on_screen_text))
        return Answer(scene, origin_from(reply), _outcome(reply))

    async def tone(self, clip: str, wav: bytes) -> Answer[Tone]:
        """Describes a voice (a WAV file, or another one with a sound track)."""
        reply = await self._send(qwen_audio_pb2.DescribeRequest(clip=clip), wav)
        content = qwen_audio_pb2.Content.Name(reply.content).removeprefix("CONTENT_").lower()
        speech = tuple((span.start_seconds, span.end_seconds) for span in reply.speech)
        tone = Tone(reply.text, content, _measurements(reply), speech)
        return Answer(tone, origin_from(reply), _outcome(reply))

    async def transcribe(self, clip: str, wav: bytes) -> Answer[Transcript]:
        """Writes down what is said (in a WAV file, or another one with a sound track)."""
        reply = await self._send(whisper_pb2.TranscribeRequest(clip=clip), wav)
        segments = tuple(map(_speech_segment, reply.segments))
        probability = round(reply.language_probability, 4)
        transcript = Transcript(reply.text, reply.language, probability, segments, reply.reason)
        return Answer(transcript, origin_from(reply), _outcome(reply))

    async def reason(self, clip: str, clues: Clues, label: str, seed: int) -> Answer[Reasoning]:
        """Reasons over the clues why the person feels `label`."""
        request = llama3_pb2.ReasonRequest(clip=clip, clues=llama3_pb2.Clues(**asdict(clues), label=label), seed=seed)
        reply = await self._send(request)
        reasoning = Reasoning(reply.text, seed, reply.prompt_tokens, reply.answer_tokens, reply.attempts)
        return Answer(reasoning, origin_from(reply), _outcome(reply), reply.outcome_reason)

    async def score(self, clip: str, clues: Clues, labels: Sequence[str]) -> Answer[LabelScores]:
        """How likely each of the labels is, given the clues."""
        reply = await self._send(
            llama3_pb2.ScoreRequest(clip=clip, clues=llama3_pb2.Clues(**asdict(clues)), labels=labels)
        )
        method = llama3_pb2.ScoringMethod.Name(reply.method).removeprefix("SCORING_METHOD_").lower()
        origin = replace(
            origin_from(reply),
            prompt_version=reply.engine.scoring_prompt_version,
            method=method if reply.method else "",
        )
        return Answer(LabelScores({one.label: one.probability for one in reply.scores}), origin)

    async def translate(self, clip: str, text: str, language: str, seed: int) -> Answer[Translation]:
        """Translates what is said into English. language: of the text, as a code; "" if it is not known."""
        reply = await self._send(llama3_pb2.TranslateRequest(clip=clip, text=text, language=language, seed=seed))
        origin = replace(origin_from(reply), prompt_version=reply.engine.translation_prompt_version)
        translation = Translation(reply.text, language, reply.attempts)
        return Answer(translation, origin, _outcome(reply), reply.outcome_reason)

    async def _send(self, request: Message, media: bytes | None = None) -> Any:
        rpc = rpc_taking(request)
        if rpc.service not in self.connections:
            raise InputError(f"{rpc.name} is of {rpc.service}, and this client calls {', '.join(self.connections)}")
        return await self.connections[rpc.service].send(request, media)


def _outcome(reply: Any) -> Outcome:
    if reply.outcome not in _OUTCOMES:
        raise EngineFault("the service's answer does not say how it came out: its field `outcome` is not set")
    return _OUTCOMES[reply.outcome]


def origin_from(reply: Any) -> Origin:
    """Who answered, from any service's reply."""
    return Origin(
        engine=reply.engine.engine,
        model=reply.engine.model,
        revision=reply.engine.revision,
        prompt_version=reply.engine.prompt_version,
        note=reply.engine.note,
        queue_seconds=round(reply.timing.queue_seconds, 4),
        model_seconds=round(reply.timing.model_seconds, 4),
        usage=_usage(reply),
    )


def _usage(reply: Any) -> Usage | None:
    """What the answer took at an endpoint; None if its engine has none."""
    if "usage" not in reply.DESCRIPTOR.fields_by_name or not reply.HasField("usage"):
        return None
    found = reply.usage
    return Usage(
        endpoint=found.endpoint,
        model=found.model,
        fingerprint=found.fingerprint,
        prompt_version=found.prompt_version,
        input_tokens=found.input_tokens,
        output_tokens=found.output_tokens,
        seconds=round(found.seconds, 4),
        calls=found.calls,
        audio_seconds=round(found.audio_seconds, 3),
    )


def _action_units(reply: openface_au_pb2.DetectResponse) -> Answer[ActionUnitSeries]:
    return Answer(series_from(reply), origin_from(reply))


def _speech_segment(segment: whisper_pb2.Segment) -> SpeechSegment:
    return SpeechSegment(
        start=round(segment.start_seconds, 3),
        end=round(segment.end_seconds, 3),
        text=segment.text,
        confidence=round(segment.confidence, 4),
        no_speech=round(segment.no_speech_probability, 4) if segment.HasField("no_speech_probability") else None,
        rejected=segment.rejected,
    )


def _measurements(reply: Any) -> dict[str, tuple[float, str]]:
    return {item.name: (round(item.value, 4), item.unit) for item in reply.measurements}

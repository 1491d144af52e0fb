"""Clients of the four services: frozen dataclasses in, frozen dataclasses and their origin out.

A call waits its turn (no more in flight than the service can queue), is tried again while a service is away or
full, and raises `MerrflowError` with the reason the service gave.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

from merrflow.clues import Clues
from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow.inputs import path_text
from merrflow.llama3.v1 import llama3_pb2, llama3_pb2_grpc
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2, minigpt_v2_pb2_grpc
from merrflow.openface_au.v1 import openface_au_pb2, openface_au_pb2_grpc
from merrflow.qwen_audio.v1 import qwen_audio_pb2, qwen_audio_pb2_grpc
from merrflow.settings import RunSettings
from merrflow.types import (
    ActionUnitSeries,
    Face,
    FaceFrame,
    LabelScores,
    Origin,
    Outcome,
    Reasoning,
    Scene,
    Tone,
)
from merrflow_serving.catalog import SERVICES
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.errors import EngineFault, MerrflowError, NotReady, from_rpc_error

Value = TypeVar("Value")
CHUNK = 1 << 19  # bytes; below any message limit that can be set
LOSS_PAUSE = 0.2  # seconds
MAX_LOSSES = 4  # tries at a call in which the connection is lost; with two, an innocent may be caught
_STUBS = {
    "openface-au": openface_au_pb2_grpc.ActionUnitsStub,
    "minigpt-v2": minigpt_v2_pb2_grpc.SceneDescriberStub,
    "qwen-audio": qwen_audio_pb2_grpc.ToneDescriberStub,
    "llama3": llama3_pb2_grpc.EmotionReasonerStub,
}
_OUTCOMES = {
    common_pb2.OUTCOME_DONE: Outcome.DONE,
    common_pb2.OUTCOME_TRUNCATED: Outcome.TRUNCATED,
    common_pb2.OUTCOME_REFUSED: Outcome.REFUSED,
}


@dataclass(frozen=True)
class Reply:
    """A service's answer: the value, who gave it, and whether it is whole."""

    value: Any
    origin: Origin
    outcome: Outcome = Outcome.DONE
    reason: str = ""  # why the outcome is not DONE


Identity = dict[str, str]


def identity(engine: common_pb2.EngineInfo | EngineInfo) -> Identity:
    """What of an engine decides its answers: part of every fingerprint."""
    found = {key: getattr(engine, key) for key in ("engine", "model", "revision", "dtype", "prompt_version")}
    if engine.scoring_prompt_version:
        found["scoring_prompt_version"] = engine.scoring_prompt_version
    return found


def limits_of(limits: common_pb2.Limits | Limits) -> Identity:
    """What an engine refuses as too large, as text."""
    return {key: str(getattr(limits, key)) for key in ("max_pixels", "max_frames", "max_seconds", "max_tokens")}


class ServiceGone(MerrflowError):
    """A service stays away: the run stops here, and no clip is blamed."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "SERVICE_GONE"
    retryable = False


class _ConnectionLost(Exception):
    """The connection broke in the middle of a call."""


class Connection:
    """A channel to one service."""

    def __init__(self, name: str, address: str, settings: RunSettings) -> None:
        self.name = name
        self.address = address
        self.info = common_pb2.InfoResponse()
        self._settings = settings
        self._channel = grpc.aio.insecure_channel(
            # With a DNS name of several addresses, requests go to all replicas in turn.
            address if ":///" in address else f"dns:///{address}",
            options=[
                ("grpc.lb_policy_name", "round_robin"),
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.max_reconnect_backoff_ms", 5_000),
                ("grpc.enable_http_proxy", 0),
            ],
        )
        self.stub = _STUBS[name](self._channel)
        self._slots = asyncio.Semaphore(1)
        self._suspects = asyncio.Lock()

    async def connect(self) -> None:
        """Asks the service about itself. Raises `NotReady` with what to do where it does not answer."""
        self.info = await self._info(self._settings.connect_seconds)
        if self.info.service != self.name:
            raise NotReady(f"at {self.address} is the service {self.info.service!r}, not {self.name}")
        limits = self.info.limits
        # Two batches: one in work, one waiting, so that the model never waits for the flow.
        self._slots = asyncio.Semaphore(max(2, 2 * limits.max_batch_size))

    async def _info(self, timeout: float) -> common_pb2.InfoResponse:
        try:
            stub = common_pb2_grpc.EngineStub(self._channel)
            return await stub.Info(common_pb2.InfoRequest(), timeout=timeout, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            raise NotReady(
                f"the service {self.name} does not answer at {self.address}: start it with `merrflow serve "
                f"{self.name}`, or set {SERVICES[self.name].env_prefix}ADDRESS to where it is"
            ) from error

    async def health(self, timeout: float = 3.0) -> str:
        """SERVING, NOT_SERVING, or UNREACHABLE."""
        try:
            stub = health_pb2_grpc.HealthStub(self._channel)
            reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout)
        except grpc.aio.AioRpcError:
            return "UNREACHABLE"
        return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)

    async def wait_ready(self) -> None:
        """Returns once the service is warm. Raises `NotReady` with its problem, or after `ready_seconds`."""
        deadline = asyncio.get_running_loop().time() + self._settings.ready_seconds
        while not (self.info.ready or self.info.problem):
            if asyncio.get_running_loop().time() > deadline:
                raise NotReady(f"the service {self.name} at {self.address} did not finish loading its model")
            await asyncio.sleep(0.1)
            self.info = await self._info(self._settings.connect_seconds)
        if self.info.problem:
            raise NotReady(f"the service {self.name} cannot work: {self.info.problem}")

    async def call(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """One call in its turn, tried again while the service is full or restarts.

        Raises the service's error; `ServiceGone` where it stays away; `EngineFault` where the connection was
        lost in the middle of this call again and again, as it is when its clip crashes the engine.
        """
        lost = 0
        async with self._slots:
            while True:
                # Whoever was in flight when a connection broke may have broken it. Such calls go on one at a
                # time, so that only the one that does it is lost again.
                try:
                    async with self._suspects if lost else nullcontext():
                        return await self._attempt(make)
                except _ConnectionLost:
                    lost += 1
                    if lost == MAX_LOSSES:
                        raise EngineFault(
                            f"the service {self.name} went away each time it worked on this clip"
                        ) from None
                    await asyncio.sleep(LOSS_PAUSE * lost)  # a broken connection takes a moment to be seen as one

    async def _attempt(self, make: Callable[[], Awaitable[Any]]) -> Any:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, MerrflowError) and error.retryable),
            stop=stop_after_delay(self._settings.retry_seconds),
            wait=wait_exponential_jitter(multiplier=0.1, max=10),
            reraise=True,
        ):
            with attempt:
                await self._connected()
                try:
                    return await make()
                except grpc.aio.AioRpcError as error:
                    told = from_rpc_error(error)
                    if told.reason == grpc.StatusCode.UNAVAILABLE.name:  # by the transport, not by the service
                        raise _ConnectionLost from error
                    raise told from error

    async def _connected(self) -> None:
        try:
            await asyncio.wait_for(self._channel.channel_ready(), self._settings.retry_seconds)
        except TimeoutError:
            raise ServiceGone(
                f"the service {self.name} at {self.address} has been away for {self._settings.retry_seconds:.0f} s; "
                "start it, and run the same command again to go on from here"
            ) from None

    async def unary(self, rpc: str, request: Any) -> Any:
        """Calls an RPC with one answer. request: a message, or a function that gives a stream of them."""
        method = getattr(self.stub, rpc)
        timeout = self._settings.call_seconds
        return await self.call(lambda: method(request() if callable(request) else request, timeout=timeout))

    async def close(self) -> None:
        await self._channel.close()


class Services:
    """The services as the pipeline sees them. An async context manager: connects, and closes."""

    def __init__(self, addresses: dict[str, str], settings: RunSettings) -> None:
        self._settings = settings
        self.connections = {name: Connection(name, addresses[name], settings) for name in addresses}

    async def __aenter__(self) -> Services:
        try:
            await asyncio.gather(*(connection.connect() for connection in self.connections.values()))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(*(connection.close() for connection in self.connections.values()))

    async def wait_ready(self) -> None:
        """Returns once all are warm. Raises `NotReady` for the first that cannot be."""
        await asyncio.gather(*(connection.wait_ready() for connection in self.connections.values()))

    def identities(self) -> dict[str, Identity]:
        """The identity of each service's engine."""
        return {name: identity(connection.info.engine) for name, connection in self.connections.items()}

    def limits(self) -> dict[str, Identity]:
        """What each service refuses as too large."""
        return {name: limits_of(connection.info.limits) for name, connection in self.connections.items()}

    async def action_units(self, clip: str, path: Path) -> Reply:
        """Measures a whole clip: `ActionUnitSeries`."""
        connection = self.connections["openface-au"]
        if self._settings.send_paths and path_text(path) == str(path):  # gRPC carries no other names
            request = openface_au_pb2.DetectRequest(clip=clip)
            request.video.path = str(path)
            try:
                reply = await connection.unary("Detect", request)
                return Reply(series_from(reply), origin_from(reply))
            except MerrflowError as error:
                if error.reason != "PATH_REFUSED":  # such as a link that leads out of the service's folders
                    raise
        data = await asyncio.to_thread(path.read_bytes)
        request = openface_au_pb2.DetectRequest(clip=clip)
        reply = await send_media(connection, "Detect", request, "video", data, openface_au_pb2)
        return Reply(series_from(reply), origin_from(reply))

    async def scene(self, clip: str, image: bytes, context: Sequence[tuple[float, bytes]]) -> Reply:
        """Describes a frame (JPEG) with frames around it (seconds after it, JPEG): `Scene`."""
        request = minigpt_v2_pb2.DescribeRequest(clip=clip)
        for offset, frame in context:
            request.context.add(offset_seconds=offset).image.data = frame
        reply = await send_media(self.connections["minigpt-v2"], "Describe", request, "image", image, minigpt_v2_pb2)
        scene = Scene(reply.text, _measurements(reply), tuple(reply.on_screen_text))
        return Reply(scene, origin_from(reply), _OUTCOMES[reply.outcome])

    async def tone(self, clip: str, wav: bytes) -> Reply:
        """Describes a voice (WAV): `Tone`."""
        request = qwen_audio_pb2.DescribeRequest(clip=clip)
        reply = await send_media(self.connections["qwen-audio"], "Describe", request, "audio", wav, qwen_audio_pb2)
        content = qwen_audio_pb2.Content.Name(reply.content).removeprefix("CONTENT_").lower()
        speech = tuple((span.start_seconds, span.end_seconds) for span in reply.speech)
        tone = Tone(reply.text, content, _measurements(reply), speech)
        return Reply(tone, origin_from(reply), _OUTCOMES[reply.outcome])

    async def reason(self, clip: str, clues: Clues, label: str, seed: int) -> Reply:
        """Reasons over the clues why the person feels `label`: `Reasoning`."""
        request = llama3_pb2.ReasonRequest(clip=clip, clues=llama3_pb2.Clues(**asdict(clues), label=label), seed=seed)
        reply = await self.connections["llama3"].unary("Reason", request)
        reasoning = Reasoning(reply.text, seed, reply.prompt_tokens, reply.answer_tokens, reply.attempts)
        return Reply(reasoning, origin_from(reply), _OUTCOMES[reply.outcome], reply.outcome_reason)

    async def score(self, clip: str, clues: Clues, labels: Sequence[str]) -> Reply:
        """How likely each of the labels is, given the clues: `LabelScores`."""
        request = llama3_pb2.ScoreRequest(clip=clip, clues=llama3_pb2.Clues(**asdict(clues)), labels=labels)
        reply = await self.connections["llama3"].unary("Score", request)
        origin = replace(origin_from(reply), prompt_version=reply.engine.scoring_prompt_version)
        return Reply(LabelScores({one.label: one.probability for one in reply.scores}), origin)


async def send_media(connection: Connection, rpc: str, request: Any, field: str, data: bytes, module: Any) -> Any:
    """Calls `rpc` with media in `request.<field>`, as a stream above the service's message limit."""
    limit = connection.info.limits.max_message_bytes or (4 << 20)
    if len(data) + request.ByteSize() + 1024 <= limit:
        getattr(request, field).data = data
        return await connection.unary(rpc, request)
    part = getattr(module, f"{rpc}StreamRequest")

    async def parts() -> AsyncIterator[Any]:
        yield part(request=request)
        for start in range(0, len(data), CHUNK):
            yield part(chunk=data[start : start + CHUNK])

    return (await connection.unary(f"{rpc}Stream", parts)).response


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
    )


def series_from(reply: openface_au_pb2.DetectResponse) -> ActionUnitSeries:
    """A reply of openface-au as the stages know it."""
    return ActionUnitSeries(
        width=reply.width,
        height=reply.height,
        fps=reply.fps,
        measurable=tuple(reply.action_units),
        frames=tuple(
            FaceFrame(frame.index, round(frame.timestamp_seconds, 4), tuple(map(_face, frame.faces)))
            for frame in reply.frames
        ),
    )


def _face(face: openface_au_pb2.Face) -> Face:
    return Face(
        box=tuple(round(getattr(face.box, side), 1) for side in ("x", "y", "width", "height")),
        confidence=round(face.confidence, 3),
        pitch=round(face.pose.pitch, 1),
        yaw=round(face.pose.yaw, 1),
        roll=round(face.pose.roll, 1),
        intensity={unit.name: round(unit.intensity, 3) for unit in face.action_units if unit.HasField("intensity")},
        present=frozenset(unit.name for unit in face.action_units if unit.present),
        mouth_opening=round(face.mouth_opening, 4) if face.HasField("mouth_opening") else None,
        second_pass=face.second_pass,
    )


def _measurements(reply: Any) -> dict[str, tuple[float, str]]:
    return {item.name: (round(item.value, 4), item.unit) for item in reply.measurements}

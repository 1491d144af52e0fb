"""The four services without sockets: their real server objects, RPCs by name, and engines that only validate.

What is real: parsers, interceptors, servicers, media rules, decoding, batching, prompts and label checks. What is
not: the models.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import grpc
import numpy as np

from merrflow_llama3.prompt import load_prompt
from merrflow_llama3.scoring import clean_labels, label_scores, load_scoring_prompt
from merrflow_llama3.translation import load_translation_prompt
from merrflow_llama3.translation_checks import Attempt, failures
from merrflow_llama3.types import Reasoned, Scored, ScoreItem, Translated, TranslateItem, no_clue
from merrflow_minigpt_v2.types import Scene
from merrflow_openface_au.engines.openface.clip import inspect_clip
from merrflow_openface_au.types import FrameResult, VideoResult
from merrflow_qwen_audio.types import Tone
from merrflow_serving import server as serving
from merrflow_serving.answers import Outcome
from merrflow_serving.catalog import SERVICES
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.errors import MerrflowError
from merrflow_whisper.types import SpeechItem, Transcript

CONTROL_TOKENS = ("<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>")
LIMITS = {"max_media_mib": 1, "max_message_mib": 4, "max_delay_ms": 0, "metrics_port": 0}


class Engine:
    """Answers what a model could; all that a real engine checks before its model is checked here."""

    def __init__(self, settings: Any) -> None:
        self._settings = settings

    def load(self) -> None:
        """The prompts of llama3."""
        self._prompts = [load_prompt(name) for name in ("grounded", "merr", "small")]
        self._scoring = [load_scoring_prompt(name) for name in ("score", "score_small")]
        self._translation = load_translation_prompt("translate")

    def info(self) -> EngineInfo:
        """Small limits, so that mutated media meet them."""
        limits = Limits(max_batch_size=8, max_frames=500)
        return EngineInfo("fuzz", "none", "1", translation_prompt_version="1", limits=limits)

    def run(self, batch: Sequence[Any]) -> list[Any]:
        """One result or error for each item."""
        return [self._safely(item) for item in batch]

    def close(self) -> None:
        """Nothing to free."""

    def _safely(self, item: Any) -> Any:
        try:
            return self._answer(item)
        except MerrflowError as error:
            return error

    def _answer(self, item: Any) -> Any:
        if isinstance(item, bytes | Path):
            facts = inspect_clip(item, max_pixels=1 << 20, max_frames=500)
            frames = tuple(FrameResult(index, time, ()) for index, time in enumerate(facts.timestamps))
            return VideoResult(facts.width, facts.height, facts.fps, ("AU01",), frames)
        if hasattr(item, "samples"):
            if item.samples.dtype != np.float32 or not np.isfinite(item.samples).all():
                raise AssertionError("sound that no engine takes")
            return Transcript("Words.") if isinstance(item, SpeechItem) else Tone("A voice.")
        if hasattr(item, "image"):
            if any(image.ndim != 3 or not image.size for image in (item.image, *(one.image for one in item.context))):
                raise AssertionError("a picture that no engine takes")
            return Scene("A scene.")
        if isinstance(item, ScoreItem):
            read = clean_labels(item.labels, CONTROL_TOKENS)
            for prompt in self._scoring:
                clues, asked = prompt.ask(item.clues, CONTROL_TOKENS)
                if clues.empty:
                    raise no_clue(item.clues)
                _no_control(asked[-1].content)
            flat = dict.fromkeys(read, -1.0)
            return Scored(label_scores(item.labels, read, flat, flat), 1)
        if isinstance(item, TranslateItem):
            source = self._translation.source(item, CONTROL_TOKENS)
            asked = self._translation.fill(source, item.language, CONTROL_TOKENS)
            _no_control(asked)
            reason = "; ".join(failures(Attempt(source, source, asked)))  # of the source itself, as if it were one
            return Translated("", Outcome.REFUSED, reason or "no", 1, 1, 1)
        for prompt in self._prompts:
            clues = prompt.prepare(item.clues, CONTROL_TOKENS)
            if clues.empty:
                raise no_clue(item.clues)
            _no_control(prompt.fill(clues, CONTROL_TOKENS))
        return Reasoned("It is so.", Outcome.DONE, "", 1, 1, 1)


def _no_control(question: str) -> None:
    found = [token for token in CONTROL_TOKENS if token in question]
    if found:
        raise AssertionError(f"a clue could end its turn with {found[0]}")


class Aborted(Exception):
    """What `context.abort` ends a call with."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code


class Context:
    """As much of a ServicerContext as servers use."""

    def __init__(self) -> None:
        self.code = grpc.StatusCode.OK

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> None:
        """Ends the call."""
        raise Aborted(code, details)

    def invocation_metadata(self) -> tuple[()]:
        """None."""
        return ()

    def peer(self) -> str:
        """As gRPC writes it."""
        return "ipv4:127.0.0.1:40000"

    def auth_context(self) -> dict[str, Any]:
        """None."""
        return {}

    def time_remaining(self) -> float:
        """Seconds."""
        return 60.0

    def __getattr__(self, name: str) -> Any:
        return mock.MagicMock()


class _Port:
    """Takes the place of grpc.aio.server: keeps handlers instead of listening."""

    def __init__(self, *, interceptors: Sequence[Any] = (), **_: Any) -> None:
        self.interceptors = tuple(interceptors)
        self.handlers: dict[str, grpc.RpcMethodHandler] = {}

    def add_registered_method_handlers(self, service: str, handlers: dict[str, grpc.RpcMethodHandler]) -> None:
        """As generated code calls it."""
        self.handlers |= {f"/{service}/{name}": handler for name, handler in handlers.items()}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """The same handlers once more."""


@dataclass(frozen=True)
class Rpc:
    """One RPC of one service."""

    service: str
    name: str
    streams: bool  # by its proto: several messages to one answer
    parse: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    call: Callable[[Any, Any], Any]  # with an iterator of parsed messages

    @property
    def label(self) -> str:
        """Such as "llama3 Reason"."""
        return f"{self.service} {self.name}"


@asynccontextmanager
async def rpcs(root: Path) -> AsyncIterator[dict[str, Rpc]]:
    """The RPCs of all services by label. `root`: the media root."""
    found: dict[str, Rpc] = {}
    running = []
    for entry in SERVICES.values():
        spec = importlib.import_module(entry.module).SPEC
        spec = replace(spec, engines={"fuzz": "tests.fuzz.services:Engine"})
        reflection = mock.patch.object(serving.reflection, "enable_server_reflection")
        with mock.patch.object(grpc.aio, "server", _Port), reflection:
            server = serving.Server(spec, spec.settings(engine="fuzz", media_roots=[root], **LIMITS))
        await server.service.warm_up()
        if not server.service.ready:
            raise RuntimeError(f"{entry.name}: {server.service.problem}")
        running.append(server.service)
        for path, handler in server._server.handlers.items():
            if path.startswith("/merrflow."):
                name = path.rsplit("/", 1)[-1]
                streams = handler.request_streaming
                one = Rpc(entry.name, name, streams, *await _intercepted(server._server.interceptors, handler, path))
                found[one.label] = one
    try:
        yield found
    finally:
        for service in running:
            await service.close()


async def _intercepted(interceptors: Sequence[Any], handler: grpc.RpcMethodHandler, path: str) -> tuple[Any, Any, Any]:
    """How the RPC's messages are parsed, its answer is written, and what is called."""

    async def innermost(details: Any) -> grpc.RpcMethodHandler:
        return handler

    inner = innermost
    for interceptor in reversed(interceptors):
        inner = _around(interceptor, inner)
    details = mock.Mock(method=path, invocation_metadata=())
    wrapped = await inner(details)

    async def call(messages: AsyncIterator[Any], context: Any) -> Any:
        if wrapped.stream_unary:  # interceptors may read a single message as a stream of one
            return await wrapped.stream_unary(messages, context)
        return await wrapped.unary_unary(await anext(messages), context)

    return wrapped.request_deserializer or (lambda data: data), wrapped.response_serializer, call


def _around(interceptor: Any, inner: Callable[..., Any]) -> Callable[..., Any]:
    async def outer(details: Any) -> grpc.RpcMethodHandler:
        return await interceptor.intercept_service(inner, details)

    return outer

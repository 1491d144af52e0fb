"""What a servicer is given: media, the queue in front of the engine, and the stamp on every reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import structlog
from structlog.contextvars import bind_contextvars

from merrflow.common.v1 import common_pb2
from merrflow_serving.alarm import Alarm
from merrflow_serving.batching import Answer, Batcher
from merrflow_serving.engine import Engine, EngineInfo
from merrflow_serving.errors import PASSING, EngineFault, InvalidInput, MerrflowError, NotReady, TooLarge
from merrflow_serving.metrics import Metrics, State
from merrflow_serving.settings import ServiceSettings
from merrflow_serving.torch.gpu import gpu_state
from merrflow_serving.torch.lost import is_lost
from merrflow_serving.weights import progress

log = structlog.get_logger()
CLOSE_SECONDS = 5.0  # for an engine to end
LONGEST_PATH = 4096  # characters; Linux takes as many bytes (PATH_MAX)
NATIVE_SECONDS = 10.0  # beyond the longest run; then a process that hangs is ended without the interpreter's help


@dataclass(frozen=True)
class ServiceSpec:
    """Everything that makes one service different from the others."""

    name: str  # as in the catalog, such as "openface-au"
    version: str
    settings: type[ServiceSettings]
    engines: Mapping[str, str]  # engine name -> "package.module:Class"; the first is the default
    proto: str  # full name of the gRPC service
    register: Callable[[Service, grpc.aio.Server], None]  # adds the servicer to the server
    warmup: Callable[[], Any]  # an item that exercises the whole engine once

    def make_engine(self, settings: ServiceSettings) -> Engine:
        """The engine the settings name, not loaded yet. Raises `InvalidInput` for a name that is none."""
        name = settings.engine or next(iter(self.engines))
        if name not in self.engines:
            raise InvalidInput(f"{self.name} has no engine {name!r}; it has: {', '.join(self.engines)}")
        module, cls = self.engines[name].split(":")
        return getattr(import_module(module), cls)(settings)


class Service:
    """One running service: its engine, queue and media rules."""

    def __init__(self, spec: ServiceSpec, settings: ServiceSettings) -> None:
        self.spec = spec
        self.settings = settings
        self.engine = spec.make_engine(settings)
        self.info: EngineInfo = self.engine.info()
        self.metrics = Metrics(spec.name)
        self.ready = False
        self.problem = ""
        self.may_pass = False  # the problem; then another warm-up may succeed
        self._step = progress.Step("starting")
        limit = settings.max_run_seconds
        self._alarm = Alarm(limit + NATIVE_SECONDS if limit else 0.0)
        self._lanes = max(1, getattr(self.engine, "lanes", 1))
        self._model_threads = ThreadPoolExecutor(self._lanes, thread_name_prefix="model")
        self._decoders = ThreadPoolExecutor(4, thread_name_prefix="decode")
        self.max_batch_size = settings.max_batch_size or self.info.limits.max_batch_size
        self._batcher = Batcher(
            self.engine.run,
            self._model_threads,
            max_batch_size=self.max_batch_size,
            max_delay=settings.max_delay_ms / 1000,
            max_queue=settings.max_queue,
            observe=self.metrics.observe_batch,
            on_lost=self._give_up,
            max_run=settings.max_run_seconds,
            guard=self._guard,
            lanes=self._lanes,
        )
        self.owns_process = False  # set where the process may be ended for the engine's sake
        self.lost = asyncio.Event()  # set once the engine can do no more work in this process
        self.metrics.follow(self._state)
        self._closed = False

    async def warm_up(self) -> None:
        """Loads the engine and sends one item through it. On failure `problem` says why; it never raises.

        It may be called again where the problem `may_pass`; what the problem is stays said meanwhile.
        """
        loop = asyncio.get_running_loop()
        self.now_doing("loading its model")
        try:
            await loop.run_in_executor(self._model_threads, self.engine.load)
            results = await loop.run_in_executor(self._model_threads, self.engine.run, [self.spec.warmup()])
            if not isinstance(results, list | tuple) or len(results) != 1 or results[0] is None:
                raise EngineFault("the engine gave no result for the item that warms it up")
            if isinstance(results[0], BaseException):
                raise results[0]
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a library that calls sys.exit must not end the service without a word
            self._cannot(error)
            if is_lost(error):
                self.lost.set()
            return
        self.problem, self.may_pass = "", False
        self.info = self.engine.info()  # memory may have lowered its limits
        self.max_batch_size = self.settings.max_batch_size or self.info.limits.max_batch_size
        self._batcher.max_batch_size = max(1, self.max_batch_size)
        if self._closed:
            return
        self._batcher.start()
        self.ready = True

    def _cannot(self, error: BaseException) -> None:
        text = str(error) if isinstance(error, MerrflowError) else f"{type(error).__name__}: {error}"
        problem = " ".join(text.split())  # one line, for logs and health checks
        self.may_pass = isinstance(error, NotReady) and error.reason in PASSING
        self.now_doing("waiting to be restarted")
        if problem != self.problem:  # not again at every try
            log.error(
                "engine cannot be used",
                problem=problem,
                reason=getattr(error, "reason", type(error).__name__),
                may_pass=self.may_pass,
                exc_info=not isinstance(error, NotReady),
            )
        self.problem = problem

    def now_doing(self, text: str) -> None:
        """What `Info` tells from now on, as long as the service does not serve."""
        self._step = progress.Step(text)

    def _guard(self) -> AbstractContextManager[None]:
        """Around a batch, where the process is the service's own."""
        return self._alarm.over() if self.owns_process else nullcontext()

    def _give_up(self, error: MerrflowError) -> None:
        self.refuse_new_work()
        self.problem = str(error)
        self.lost.set()

    def refuse_new_work(self) -> None:
        """From now on requests are answered UNAVAILABLE; those in flight go on."""
        if not self._closed:
            self.now_doing("draining")
        self.ready = False
        self._closed = True

    def interrupt(self) -> None:
        """Has an engine that can (it has `interrupt()`) give up what it works on: the drain time is over."""
        interrupt = getattr(self.engine, "interrupt", None)
        if interrupt is not None:
            interrupt()

    async def close(self) -> bool:
        """Ends the queue and frees the engine. False where that does not end: only the process' end does."""
        self.refuse_new_work()
        await self._batcher.stop()
        closing = asyncio.get_running_loop().run_in_executor(self._model_threads, self._close_engine)
        has_ended = bool((await asyncio.wait([closing], timeout=CLOSE_SECONDS))[0])
        for threads in (self._model_threads, self._decoders):
            threads.shutdown(wait=has_ended)
        return has_ended

    def _close_engine(self) -> None:
        try:
            self.engine.close()
        except BaseException:  # what is left of the service's end must be done all the same
            log.exception("the engine could not be closed")

    async def run(self, item: Any, *, clip: str = "") -> Answer:
        """Queue, batch, engine. Raises the item's error, `QueueFull` or `NotReady`."""
        if not self.ready:
            raise NotReady(self.problem or ("draining" if self._closed else "the model is still loading"))
        return await self._batcher.submit(item)

    async def offload(self, function: Callable[..., Any], *args: Any) -> Any:
        """Runs blocking work, such as decoding, beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, function, *args)

    def source(self, media: common_pb2.Media) -> Path | bytes:
        """The media's bytes, or its path once it is known to be a file under a media root."""
        kind = media.WhichOneof("source")
        if kind is None:
            raise InvalidInput("the request has no media: set `data` or `path`")
        if kind == "data":
            if len(media.data) > self.settings.max_media_bytes:
                raise TooLarge(f"the media have more than {self.settings.max_media_mib} MiB")
            return media.data
        return self._under_root(media.path)

    def _under_root(self, text: str) -> Path:
        if "\0" in text:
            raise InvalidInput("a path cannot hold a zero byte", reason="PATH_REFUSED")
        if len(text) > LONGEST_PATH:  # to follow a path costs the square of its length
            raise InvalidInput(f"the path has more than {LONGEST_PATH} characters", reason="PATH_REFUSED")
        try:
            path = Path(text).resolve()  # follows links and `..`, so that neither leads out of a root
            path.lstat()
        except FileNotFoundError:
            pass  # said below, and only of what would be under a root
        except (OSError, RuntimeError) as error:  # too long a name, a loop of links
            raise InvalidInput("the path cannot be followed", reason="PATH_REFUSED") from error
        if not any(path.is_relative_to(root) for root in self.settings.media_roots):
            raise InvalidInput(
                f"{text} is not below a media root of this service; send the bytes, or set "
                f"{self.spec.settings.model_config['env_prefix']}MEDIA_ROOTS",
                reason="PATH_REFUSED",
            )
        if not path.is_file():
            raise InvalidInput(f"{text} is not a file here", reason="PATH_REFUSED")
        if path.stat().st_size > self.settings.max_media_bytes:
            raise TooLarge(f"{text} has more than {self.settings.max_media_mib} MiB")
        return path

    async def receive(self, parts: AsyncIterator[Any], *, field: str) -> Any:
        """A streamed request, put together: the first part's request with `field`'s data from the chunks."""
        request = None
        data = bytearray()
        async for part in parts:
            kind = part.WhichOneof("part")
            if (kind == "request") != (request is None):
                raise InvalidInput("a stream is one request and then its chunks")
            if kind == "request":
                request = part.request
                bind_contextvars(clip=request.clip)
                continue
            data += part.chunk
            if len(data) > self.settings.max_media_bytes:
                raise TooLarge(f"the media have more than {self.settings.max_media_mib} MiB")
        if request is None:
            raise InvalidInput("the stream is empty")
        if data:
            getattr(request, field).data = bytes(data)
        return request

    def stamp(self, answer: Answer) -> dict[str, Any]:
        """Timing and engine for a reply."""
        return {
            "timing": common_pb2.Timing(
                queue_seconds=answer.queue_seconds,
                model_seconds=answer.model_seconds,
                batch_size=answer.batch_size,
            ),
            "engine": engine_message(self.info),
        }

    def describe(self) -> common_pb2.InfoResponse:
        """The answer to `Info`."""
        step = self._step if self._closed else progress.now() or self._step
        limits = asdict(self.info.limits) | {
            "max_batch_size": self.max_batch_size * self._lanes,  # as many requests are in work at once
            "max_queue": self.settings.max_queue,
            "max_message_bytes": self.settings.max_message_bytes,
            "max_media_bytes": self.settings.max_media_bytes,
        }
        return common_pb2.InfoResponse(
            service=self.spec.name,
            version=self.spec.version,
            engine=engine_message(self.info),
            limits=common_pb2.Limits(**limits),
            ready=self.ready,
            problem=self.problem,
            memory=self._memory(),
            doing="" if self.ready else step.text,
            doing_seconds=0 if self.ready else step.seconds,
        )

    def _state(self) -> State:
        """For the metrics page, whose thread asks."""
        memory = getattr(self.engine, "memory", None) if self.ready else None
        return State(
            version=self.spec.version,
            engine=self.info,
            ready=self.ready,
            problem=bool(self.problem),
            waiting=self._batcher.waiting,
            queue_capacity=self.settings.max_queue,
            max_batch_size=self.max_batch_size,
            gpu=gpu_state(self.info.device, memory),
        )

    def _memory(self) -> common_pb2.Memory | None:
        """What the engine's device holds, where the engine can tell."""
        if not (self.ready and hasattr(self.engine, "memory")):
            return None
        return common_pb2.Memory(**asdict(self.engine.memory()))


def engine_message(info: EngineInfo) -> common_pb2.EngineInfo:
    """`EngineInfo` as it travels."""
    return common_pb2.EngineInfo(
        **{name: getattr(info, name) for name in common_pb2.EngineInfo.DESCRIPTOR.fields_by_name}
    )

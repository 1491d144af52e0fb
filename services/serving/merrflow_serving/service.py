"""A service: what makes it different from others, and what its servicer is given (media, queue, timing, engine)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

import grpc
import structlog

from merrflow.common.v1 import common_pb2
from merrflow_serving import plugins
from merrflow_serving.answers import Usage
from merrflow_serving.batching import Answer, Batcher
from merrflow_serving.catalog import SERVICES
from merrflow_serving.engine import (
    Engine,
    HasMemory,
    Interruptible,
    Parallel,
    StopsEarly,
    Wanted,
    endpoint_of,
    info_of,
    memory_of,
)
from merrflow_serving.errors import PASSING, MerrflowError, NotReady, as_line, one_line
from merrflow_serving.messages import endpoint_message, engine_message, memory_message
from merrflow_serving.metrics import Metrics, State
from merrflow_serving.receiving import media_source, receive
from merrflow_serving.results import Expected
from merrflow_serving.settings import ServiceSettings
from merrflow_serving.torch.gpu import GpuMonitor
from merrflow_serving.torch.lost import is_lost
from merrflow_serving.watchdog import Watchdog
from merrflow_serving.weights import progress

log = structlog.get_logger()
SettingsT = TypeVar("SettingsT", bound=ServiceSettings)
SettingsT_co = TypeVar("SettingsT_co", bound=ServiceSettings, covariant=True)
T = TypeVar("T")
CLOSE_SECONDS = 5.0  # for an engine to close
NATIVE_SECONDS = 10.0  # beyond the longest run; then a process that hangs is ended without the interpreter's help


@dataclass(frozen=True)
class ServiceSpec(Generic[SettingsT]):
    """One service; what the entry point of its distribution, in the group `merrflow.services`, refers to."""

    name: str  # as in the catalog, such as "openface-au"
    version: str
    settings: type[SettingsT]
    engines: Mapping[str, str]  # the built-in ones: name -> "package.module:Class"; the first is the default
    register: Callable[[Service[SettingsT], grpc.aio.Server], None]  # adds the servicer to the server
    warmup: Callable[[], Any]  # an item that exercises the whole engine once
    results: Mapping[type, type]  # of an item -> of what an engine answers to it

    @property
    def proto(self) -> str:
        """The full name of its gRPC service."""
        return SERVICES[self.name].proto

    def make_engine(self, settings: SettingsT) -> Engine[Any, Any]:
        """The engine that the settings name, not loaded yet: a built-in one, or another distribution's.

        Raises `InvalidInput` if there is no engine of that name, if several have it, or if it cannot be created.
        """
        return self.engine_of(self.plugin(settings), settings)

    def engine_of(self, plugin: plugins.Plugin | None, settings: SettingsT) -> Engine[Any, Any]:
        """The same with the answer of `plugin`, for which all that is installed was read."""
        if plugin is not None:
            return plugin.create(settings)
        module, attribute = self.engines[self._engine_name(settings)].split(":")
        make: Callable[[SettingsT], Engine[Any, Any]] = getattr(import_module(module), attribute)
        return make(settings)

    def plugin(self, settings: SettingsT) -> plugins.Plugin | None:
        """What adds the engine that the settings name; None for a built-in one. Raises `InvalidInput` as above."""
        return plugins.find(self.name, self._engine_name(settings), self.engines)

    def _engine_name(self, settings: SettingsT) -> str:
        return settings.engine or next(iter(self.engines))


class Service(Generic[SettingsT_co]):
    """One running service: its engine, its queue and the media it accepts."""

    def __init__(self, spec: ServiceSpec[SettingsT_co], settings: SettingsT_co, *, owns_process: bool = False) -> None:
        """owns_process: whether the process may be ended if the engine hangs in native code."""
        self.spec = spec
        self.settings = settings
        plugin = spec.plugin(settings)
        self.engine: Engine[Any, Any] = spec.engine_of(plugin, settings)
        self.plugin = str(plugin or "")  # what adds the engine, if it is not built in
        self._expected = Expected(self.plugin or "the engine", spec.results)
        self.info = info_of(self.engine)
        self.metrics = Metrics(spec.name)
        self.lost = asyncio.Event()  # set once the engine can do no more work in this process
        self._gpu = GpuMonitor()
        self.ready = False
        self.problem = ""
        self.may_pass = False  # the problem; then another warm-up may succeed
        self.progress = progress.Progress()  # of the engine's loading
        self._step = progress.Step("starting")
        limit = settings.max_run_seconds
        self._watchdog = Watchdog(limit + NATIVE_SECONDS if limit and owns_process else 0.0)
        self._lanes = max(1, self.engine.lanes) if isinstance(self.engine, Parallel) else 1
        self._model_threads = ThreadPoolExecutor(self._lanes, thread_name_prefix="model")
        self._decoders = ThreadPoolExecutor(4, thread_name_prefix="decode")
        self._batcher = Batcher(
            self._run_engine,
            self._model_threads,
            max_batch_size=settings.max_batch_size or self.info.limits.max_batch_size,
            max_delay=settings.max_delay_ms / 1000,
            max_queue=settings.max_queue,
            observe=self.metrics.observe_batch,
            on_lost=self._give_up,
            max_run=limit,
            guard=self._watchdog.over,
            lanes=self._lanes,
            expected=self._expected,
        )
        self.metrics.follow(self._state)
        self._closed = False

    async def warm_up(self) -> None:
        """Loads the engine and sends one item through it. Never raises: if it fails, `problem` says why.

        It may be called again if the problem `may_pass`; until it succeeds, `problem` stays as it is.
        """
        loop = asyncio.get_running_loop()
        self.now_doing("loading its model")
        try:
            await loop.run_in_executor(self._model_threads, self._load)
            item = self.spec.warmup()
            results = await loop.run_in_executor(self._model_threads, self.engine.run, [item])
            (result,) = self._expected.one_each([item], results)
            if isinstance(result, MerrflowError):
                raise result
            self.info = info_of(self.engine)  # loading may have lowered its limits, for lack of memory
            endpoint_of(self.engine), memory_of(self.engine)  # or raises
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a library that calls sys.exit must not end the service without a word
            self._cannot(error)
            if is_lost(error):
                self.lost.set()
            return
        self.problem, self.may_pass = "", False
        self._batcher.limit_batches(self.settings.max_batch_size or self.info.limits.max_batch_size)
        if self._closed:
            return
        self._batcher.start()
        self.ready = True

    def _run_engine(self, batch: Sequence[Any], wanted: Wanted) -> Sequence[Any]:
        return self.engine.run(batch, wanted) if isinstance(self.engine, StopsEarly) else self.engine.run(batch)

    def _load(self) -> None:
        with self.progress.open():
            self.engine.load()

    def _cannot(self, error: BaseException) -> None:
        problem = as_line(str(error)) if isinstance(error, MerrflowError) else one_line(error)
        if self.plugin and not (isinstance(error, NotReady) or self.plugin in problem):
            problem = f"{self.plugin} cannot be used: {problem}"
        # An error of the system, such as of a disk or a right, is mended outside of the service.
        self.may_pass = isinstance(error, OSError) or (isinstance(error, NotReady) and error.reason in PASSING)
        self.now_doing("waiting to be restarted")
        if problem != self.problem:  # not again for every attempt
            log.error(
                "engine cannot be used",
                problem=problem,
                reason=error.reason if isinstance(error, MerrflowError) else type(error).__name__,
                may_pass=self.may_pass,
                exc_info=not isinstance(error, NotReady),
            )
        self.problem = problem

    def now_doing(self, text: str) -> None:
        """Sets what `Info` reports from now on, as long as the service is not serving."""
        self._step = progress.Step(text)

    def _give_up(self, error: MerrflowError) -> None:
        self.refuse_new_work()
        self.problem = str(error)
        self.lost.set()

    def refuse_new_work(self) -> None:
        """From now on requests are answered UNAVAILABLE; those in flight are finished."""
        if not self._closed:
            self.now_doing("draining")
        self.ready = False
        self._closed = True

    def interrupt(self) -> None:
        """Makes an engine that can do so give up what it is working on: the drain time is over."""
        if isinstance(self.engine, Interruptible):
            self.engine.interrupt()

    async def close(self) -> bool:
        """Ends the queue and closes the engine. False if that takes too long: then only the end of the process will."""
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
        except BaseException:  # the rest of the service must be shut down all the same
            log.exception("the engine could not be closed")

    async def run(self, item: Any, *, clip: str = "") -> Answer:
        """Queue, batch, engine. Raises the item's error, `QueueFull` or `NotReady`."""
        if not self.ready:
            raise NotReady(self.problem or ("draining" if self._closed else "the model is still loading"))
        return await self._batcher.submit(item)

    async def offload(self, function: Callable[..., T], *args: Any) -> T:
        """Runs blocking work, such as decoding, on another thread than the event loop's."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, function, *args)

    def source(self, media: common_pb2.Media) -> Path | bytes:
        """The media's bytes, or its path if that is a file under one of the media roots; see `media_source`."""
        return media_source(media, self.settings)

    async def receive(self, parts: AsyncIterator[Any], *, field: str) -> Any:
        """Assembles a streamed request, `field` of which takes the chunks; see `receiving.receive`."""
        return await receive(parts, field=field, settings=self.settings)

    def stamp(self, answer: Answer) -> dict[str, Any]:
        """The fields `timing`, `engine` and, if the result has it, `usage` of a reply."""
        usage = getattr(answer.result, "usage", None)
        return {
            **({"usage": usage.to_proto()} if isinstance(usage, Usage) else {}),
            "timing": common_pb2.Timing(
                queue_seconds=answer.queue_seconds, model_seconds=answer.model_seconds, batch_size=answer.batch_size
            ),
            "engine": engine_message(self.info),
        }

    def describe(self) -> common_pb2.InfoResponse:
        """The answer to `Info`."""
        step = self._step if self._closed else self.progress.now() or self._step
        limits = asdict(self.info.limits) | {
            "max_batch_size": self._batcher.max_batch_size * self._lanes,  # as many requests are run at once
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
            memory=memory_message(self.engine) if self.ready else None,
            doing="" if self.ready else step.text,
            doing_seconds=0 if self.ready else step.seconds,
            endpoint=endpoint_message(self.engine),
        )

    def _state(self) -> State:
        """For the metrics page, on that page's thread."""
        memory = self.engine.memory if self.ready and isinstance(self.engine, HasMemory) else None
        return State(
            version=self.spec.version,
            engine=self.info,
            ready=self.ready,
            problem=bool(self.problem),
            waiting=self._batcher.waiting,
            queue_capacity=self.settings.max_queue,
            max_batch_size=self._batcher.max_batch_size,
            gpu=self._gpu.state(self.info.device, memory),
        )

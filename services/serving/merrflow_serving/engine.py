"""The contract between a service and the model behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Protocol, TypeVar, runtime_checkable

from merrflow_serving.errors import EngineFault, MerrflowError, is_unicode, one_line
from merrflow_serving.machine import Memory
from merrflow_serving.torch.need import Need

_UINT32 = 1 << 32
Item = TypeVar("Item", contravariant=True)
Result = TypeVar("Result", covariant=True)
Told = TypeVar("Told")


class Wanted(Protocol):
    """Whether anybody still waits for the item at a place of a batch. Cheap, from any thread; once False, always so."""

    def __call__(self, place: int, /) -> bool: ...


def always(place: int) -> bool:
    """A `Wanted` of callers that all wait to the end."""
    return True


@dataclass(frozen=True)
class Limits:
    """What an engine accepts; 0 means no limit. Fields as in `merrflow.common.v1.Limits`."""

    max_batch_size: int = 1
    max_pixels: int = 0
    max_frames: int = 0
    max_seconds: float = 0.0
    max_tokens: int = 0


@dataclass(frozen=True)
class EngineInfo:
    """Which model computes. Part of every clue's provenance and cache key: a change here means new work.

    Fields as in `merrflow.common.v1.EngineInfo`.
    """

    engine: str
    model: str
    revision: str
    device: str = "cpu"
    dtype: str = "float32"
    prompt_version: str = ""
    scoring_prompt_version: str = ""
    translation_prompt_version: str = ""  # empty if the engine does not translate
    licence: str = ""
    note: str = ""
    limits: Limits = field(default_factory=Limits)


class Reach(StrEnum):
    """How far what is sent to an endpoint travels, nearest first. Names as in `merrflow.common.v1.Reach`."""

    UNSPECIFIED = "unspecified"  # not known, or not yet
    MACHINE = "machine"  # this one
    PRIVATE = "private"  # a private network
    PUBLIC = "public"


@dataclass(frozen=True)
class Endpoint:
    """A server that an engine calls. Fields as in `merrflow.common.v1.Endpoint`."""

    host: str  # with a port if that is not the usual one
    reach: Reach = Reach.UNSPECIFIED


@runtime_checkable
class Engine(Protocol[Item, Result]):
    """A model. It is constructed with its service's settings, and used by one thread, so it needs no locks of its own
    unless it is `Parallel`.

    `info()` must answer before `load()`: a client calls it to find out whether there is any work to do. What else an
    engine can do is optional: `HasMemory`, `HasEndpoint`, `PlansMemory`, `Interruptible`, `StopsEarly`, `Parallel`.
    """

    def load(self) -> None:
        """Loads the model. Raises `NotReady`, saying what to do, if files are missing or wrong."""

    def run(self, batch: Sequence[Item]) -> Sequence[Result | MerrflowError]:
        """One result or one error for each item, in the order of the items; a list or a tuple. An error affects its own
        item only."""
        ...

    def close(self) -> None:
        """Frees what `load` acquired. Called once, after the last `run`."""

    def info(self) -> EngineInfo:
        """Engine, model, revision and limits. Cheap, and does not load anything."""
        ...


def info_of(engine: Engine[Any, Any]) -> EngineInfo:
    """The engine's `info()`. Raises its `MerrflowError`, or `EngineFault` if it fails in another way."""
    info = _told("info", engine.info)
    if not isinstance(info, EngineInfo):
        raise EngineFault(f"its info() returned {type(info).__name__}, not EngineInfo")
    if problem := next(_wrong_fields(info), ""):
        raise EngineFault(f"its info() says {problem}")
    return info


def _told(name: str, method: Callable[[], Told]) -> Told:
    """What a method returns. Raises its `MerrflowError`, or `EngineFault` if it fails in another way."""
    try:
        return method()
    except (MerrflowError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise EngineFault(f"its {name}() raised {one_line(error)}") from error


def _wrong_fields(info: EngineInfo) -> Iterator[str]:
    """What cannot be sent to clients, or be part of a cache key."""
    for field_ in fields(info):
        value = getattr(info, field_.name)
        if field_.name == "limits":
            yield from _wrong_limits(value)
        elif not isinstance(value, str):
            yield f"{field_.name}={value!r:.80}; a text is wanted"
        elif not is_unicode(value):
            yield f"{field_.name}={value!r:.80}, which is not valid Unicode"


def _wrong_limits(limits: object) -> Iterator[str]:
    if not isinstance(limits, Limits):
        yield f"limits={limits!r:.80}; Limits are wanted"
        return
    for field_ in fields(limits):
        value = getattr(limits, field_.name)
        kinds = int | float if field_.name == "max_seconds" else int
        if not isinstance(value, kinds) or not 0 <= value < _UINT32:
            yield f"limits.{field_.name}={value!r:.80}; a number from 0 to {_UINT32 - 1} is wanted"


def endpoint_of(engine: Engine[Any, Any]) -> Endpoint | None:
    """Where the engine sends what it is asked; None if it computes itself. Raises `EngineFault` if it cannot say."""
    if not isinstance(engine, HasEndpoint):
        return None
    found: object = _told("endpoint", engine.endpoint)
    if not (isinstance(found, Endpoint) and isinstance(found.host, str) and isinstance(found.reach, Reach)):
        raise EngineFault(f"its endpoint() returned {found!r:.80}, not an Endpoint with a host and a Reach")
    return found


def memory_of(engine: Engine[Any, Any]) -> Memory | None:
    """The memory of the engine's device; None if it does not report it. Raises `EngineFault` if it cannot say."""
    if not isinstance(engine, HasMemory):
        return None
    found: object = _told("memory", engine.memory)
    if not (isinstance(found, Memory) and all(isinstance(size, int) and size >= 0 for size in vars(found).values())):
        raise EngineFault(f"its memory() returned {found!r:.80}, not Memory with sizes in bytes")
    return found


def need_of(engine: Engine[Any, Any]) -> Need | None:
    """The GPU memory that the engine will need; None if it computes on the CPU or does not say.

    Raises what `need` raises, and `EngineFault` if it returns something else."""
    found: object = engine.need() if isinstance(engine, PlansMemory) else None
    if found is None:
        return None
    if not (
        isinstance(found, Need) and all(isinstance(size, int | float) and size >= 0 for size in vars(found).values())
    ):
        raise EngineFault(f"its need() returned {found!r:.80}, not a Need of bytes")
    return found


@runtime_checkable
class HasMemory(Protocol):
    """An engine that reports the memory of its device, for `Info` and the metrics page."""

    def memory(self) -> Memory:
        """Called from any thread, once the engine is loaded."""
        ...


@runtime_checkable
class HasEndpoint(Protocol):
    """An engine that sends what it is asked to a server elsewhere, for `Info`."""

    def endpoint(self) -> Endpoint:
        """Called from any thread, before `load` too. Cheap: looks nothing up."""
        ...


@runtime_checkable
class PlansMemory(Protocol):
    """An engine that knows how much GPU memory it will need."""

    def need(self) -> Need | None:
        """Called before `load`; None if it computes on the CPU. Raises `NotReady` if the weights are missing."""
        ...


@runtime_checkable
class Interruptible(Protocol):
    """An engine that can give up in the middle of `run`."""

    def interrupt(self) -> None:
        """Called from another thread than the one inside `run`."""


@runtime_checkable
class StopsEarly(Protocol[Item, Result]):
    """An engine whose `run` can be asked to stop working on items for which nobody waits any more."""

    @property
    def stops_early(self) -> bool:
        """True."""
        ...

    def run(self, batch: Sequence[Item], wanted: Wanted = always) -> Sequence[Result | MerrflowError]:
        """As `Engine.run`. Asks `wanted` between two steps, such as tokens or frames. An item that is not wanted gets
        any result or `Abandoned`, which nobody sees; the others' results are as without it."""
        ...


@runtime_checkable
class Parallel(Protocol):
    """An engine that works on several batches at once: `lanes` threads call `run` at the same time.

    `close` may be called while they do; it must end them.
    """

    @property
    def lanes(self) -> int:
        """At least 1; known before `load`."""
        ...

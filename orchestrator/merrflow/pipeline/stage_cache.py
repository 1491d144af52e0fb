"""The stage cache: each result is computed once and then kept in the ledger.

Failures are kept too, so that bad input is not tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import grpc
from pydantic import TypeAdapter, ValidationError

from merrflow.core.errors import FileAway, RunStopped, WitnessAway
from merrflow.core.measurements import Clip
from merrflow.core.records import Outcome
from merrflow.core.texts import Origin
from merrflow.pipeline.cache_keys import CacheKeys
from merrflow.stages.graph import Graph
from merrflow.stages.stage import Reply, Result, Stage
from merrflow.store import RECORD, GroupedWrites, Ledger, PackedRow, StageRow, StageWrite
from merrflow_serving.errors import EngineFault, MerrflowError, TooLarge, first_fault

Value = TypeVar("Value")
log = logging.getLogger(__name__)
MAX_ATTEMPTS = 3  # at work that fails by the service's own fault


@dataclass(frozen=True)
class Payload(Generic[Value]):
    """What the ledger keeps of a stage's result."""

    value: Value
    origin: Origin | None


@cache  # it takes a millisecond to make one, and each run has them
def _adapter(result: Any) -> TypeAdapter[Payload[Any]]:
    return TypeAdapter(Payload[result])  # type: ignore[valid-type]  # known at run time only


class Codecs:
    """Results of the stages to JSON and back."""

    def __init__(self, graph: Graph) -> None:
        self._adapters: dict[str, TypeAdapter[Payload[Any]]] = {
            stage.name: _adapter(stage.result)  # type: ignore[arg-type]  # to mypy a type has no hash
            for stage in graph
            if stage.is_cached
        }

    def unpack(self, stage: Stage[Value], payload: bytes) -> Payload[Value]:
        """What `pack` packed."""
        return self._adapters[stage.name].validate_json(payload)

    def pack(self, stage: Stage[Value], reply: Reply[Value]) -> tuple[bytes, Payload[Value]]:
        """A reply as the ledger keeps it, and what `unpack` makes of that.

        Raises `EngineFault` for nonsense, which must not stay there for good.
        """
        problem = stage.check(reply)
        found = Payload(reply.value, reply.origin)
        payload = self._adapters[stage.name].dump_json(found)
        if not problem:
            try:
                return payload, found if stage.is_large else self.unpack(stage, payload)
            except ValidationError as error:  # such as NaN
                problem = first_fault(error)
        raise EngineFault(f"the engine's answer cannot be used ({stage.name}): {problem}")


class StageCache:
    """The ledger as a run's clips use it, off the event loop."""

    def __init__(
        self, ledger: Ledger, graph: Graph, keys: CacheKeys, threads: ThreadPoolExecutor, writes: GroupedWrites
    ) -> None:
        """threads: to read the ledger alone, so that no look-up waits for the decoding of clips. writes: into it."""
        self.keys = keys
        self.codecs = Codecs(graph)
        self.ledger = ledger
        self._threads = threads
        self._writes = writes
        self._lost: set[str] = set()  # stages of which a result could not be parsed

    async def open(self, clip: Clip) -> ClipCache:
        """Everything that is known about a clip, in one read."""
        return ClipCache(self, clip, await self.ask(self.ledger.stages, clip))

    def lost(self, clip: Clip, stage: Stage[Any], error: ValidationError) -> None:
        """Says once a stage that a result is computed again because it cannot be parsed."""
        if stage.name not in self._lost:
            self._lost.add(stage.name)
            log.warning(
                "the %s of clip %s cannot be parsed (%s), and maybe others; they are computed again",
                *(stage.name, clip.name, first_fault(error)),
            )

    async def ask(self, function: Callable[..., Value], *arguments: Any) -> Value:
        """Runs blocking work of the ledger."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def pack(self, stage: Stage[Value], reply: Reply[Value]) -> tuple[bytes, Payload[Value]]:
        """See `Codecs.pack`. To hand a small result to a thread would take longer than to pack it."""
        return await self.ask(self.codecs.pack, stage, reply) if stage.is_large else self.codecs.pack(stage, reply)

    def put(self, write: StageWrite, *, can_wait: bool) -> Future[None]:
        """Done once the row is committed. can_wait: for others, a moment."""
        return self._writes.put(write, can_wait=can_wait)


class ClipCache:
    """The cached results of one clip."""

    def __init__(self, cache: StageCache, clip: Clip, rows: dict[tuple[str, str], PackedRow]) -> None:
        """rows: by stage and key."""
        self._cache = cache
        self._clip = clip
        self._rows = rows
        self._known = {stage for stage, _ in rows}  # stages of which the ledger holds results
        self._uncommitted: deque[Future[None]] = deque()

    async def result(
        self, stage: Stage[Value], depends_on: Any, compute: Callable[[], Awaitable[Reply[Value]]]
    ) -> Result[Value]:
        """The stage's result. depends_on: beside the clip's bytes.

        Raises `MerrflowError` if the work failed, now or in an earlier run; with the code INVALID_ARGUMENT if another
        try is of no use. `FileAway`, `RunStopped` and `WitnessAway` are not kept.
        """
        keys = self._cache.keys
        key = keys.of_stage(stage, self._clip, depends_on)
        attempts = 0
        for kept_under in (key, keys.refused(key)):
            if (packed := self._rows.get((stage.kept_as, kept_under))) is None:
                continue
            row, found = await self._cache.ask(self._unpacked, stage, packed)
            if row is None:
                continue
            if packed.clip != self._clip.name:  # measured for another clip of the same bytes
                self._write(stage.kept_as, kept_under, row, can_wait=True)
            if isinstance(found, ValidationError):
                self._cache.lost(self._clip, stage, found)
            elif row.outcome is Outcome.FAILED and row.retry:
                attempts = row.attempts
            else:
                return _result(row, found)
            break
        return _result(*await self._compute(stage, key, compute, attempts + 1))

    def _unpacked(
        self, stage: Stage[Value], packed: PackedRow
    ) -> tuple[StageRow | None, Payload[Value] | ValidationError | None]:
        """A row, None if the ledger cannot read it, and what is in it, None if it is a failure; or why that cannot be
        parsed. Blocking."""
        row = self._cache.ledger.unpack(packed)
        if row is None or row.outcome is Outcome.FAILED:
            return row, None
        try:
            return row, self._cache.codecs.unpack(stage, row.payload)
        except ValidationError as error:
            return row, error

    async def _compute(
        self, stage: Stage[Value], key: str, compute: Callable[[], Awaitable[Reply[Value]]], attempt: int
    ) -> tuple[StageRow, Payload[Value] | None]:
        started = time.monotonic()
        found: Payload[Value] | None = None
        try:
            reply = await compute()
            payload, found = await self._cache.pack(stage, reply)
        except (FileAway, RunStopped, WitnessAway):
            raise
        except MerrflowError as error:
            fault = error.code is not grpc.StatusCode.INVALID_ARGUMENT and attempt < MAX_ATTEMPTS
            seconds = round(time.monotonic() - started, 3)
            reason = error.reason.encode()
            row = StageRow(Outcome.FAILED, str(error), reason, seconds, attempt, error.retryable or fault)
            if error.reason == TooLarge.reason:
                key = self._cache.keys.refused(key)
        else:
            row = StageRow(
                reply.outcome,
                "" if reply.outcome is Outcome.DONE else reply.reason or f"the {stage.name} was {reply.outcome}",
                payload,
                round(time.monotonic() - started, 3),
                attempt,
            )
        self._write(stage.kept_as, key, row, can_wait=not stage.service)  # an answer has cost somebody a model's time
        return row, found

    async def attempts(self, key: str) -> int:
        """How many times the clip got an outcome under this key."""
        packed = self._rows.get((RECORD, key))
        old = await self._cache.ask(self._cache.ledger.unpack, packed) if packed else None
        return old.attempts if old else 0

    async def finish(self, key: str, row: StageRow) -> None:
        """Keeps the clip's outcome and its record. Returns once all is committed: of what a clip found, nothing comes
        later than its outcome."""
        await self.settle()
        self._write(RECORD, key, row)
        await self.settle()

    async def settle(self) -> None:
        """Returns once all results so far are committed. Raises why one of them cannot be."""
        while self._uncommitted:  # the last is committed last; to wait for each takes the loop longer
            await asyncio.gather(asyncio.wrap_future(self._uncommitted[-1]), return_exceptions=True)
            while self._uncommitted and self._uncommitted[0].done():
                self._uncommitted.popleft().result()

    def _write(self, stage: str, key: str, row: StageRow, *, can_wait: bool = False) -> None:
        """Has the row written while the clip goes on. Raises why an earlier one could not be."""
        while self._uncommitted and self._uncommitted[0].done():
            self._uncommitted.popleft().result()
        is_first = stage not in self._known
        self._known.add(stage)
        write = StageWrite(self._clip.name, stage, key, row, is_first)
        self._uncommitted.append(self._cache.put(write, can_wait=can_wait))


def _result(row: StageRow, found: Payload[Value] | None) -> Result[Value]:
    """What a row says. found: its payload, unpacked. Raises `KnownFailure` if it is a failure."""
    if found is None:
        # A final failure is one of the input; any other is worth another try.
        code = grpc.StatusCode.UNAVAILABLE if row.retry else grpc.StatusCode.INVALID_ARGUMENT
        raise KnownFailure(row.reason, code, row.payload.decode(errors="replace") or None)
    return Result(found.value, found.origin, row.outcome, row.reason, row.seconds)


class KnownFailure(MerrflowError):
    """Work that failed, as the ledger knows it."""

    def __init__(self, message: str, code: grpc.StatusCode, reason: str | None) -> None:
        super().__init__(message, reason=reason)
        self.code = code

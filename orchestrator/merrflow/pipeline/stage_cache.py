"""A stage's result, computed once: taken from the ledger where it is known, else computed and written there.

Failures are remembered too, so that bad input is not tried again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc
from pydantic import TypeAdapter, ValidationError

from merrflow.core.errors import RunStopped
from merrflow.core.fingerprint import fingerprint
from merrflow.core.records import (
    ActionUnitSeries,
    Clip,
    LabelScores,
    Origin,
    Outcome,
    Probe,
    Reasoning,
    Scene,
    Subtitle,
    Tone,
)
from merrflow.pipeline.cache_keys import WorkKeys
from merrflow.stages.stage import Reply
from merrflow.stages.validation import unusable
from merrflow.store import RECORD, Ledger, StageRow
from merrflow_serving.errors import EngineFault, MerrflowError, TooLarge

Value = TypeVar("Value")
MAX_ATTEMPTS = 3  # at work that ends in a service's own fault


@dataclass(frozen=True)
class Known(Generic[Value]):
    """A stage's result, computed now or remembered."""

    value: Value
    origin: Origin | None
    outcome: Outcome
    reason: str
    seconds: float


@dataclass(frozen=True)
class Payload(Generic[Value]):
    """What the ledger keeps of a stage's result."""

    value: Value
    origin: Origin | None


PAYLOADS = {
    kind: TypeAdapter(Payload[kind])
    for kind in (Probe, ActionUnitSeries, Subtitle, Scene, Tone, LabelScores, Reasoning)
}


def _packed(kind: type, stage: str, reply: Reply) -> bytes:
    """A reply as the ledger keeps it. Raises `EngineFault` where it is nonsense, which must not stay there for good."""
    nonsense = unusable(reply)
    payload = PAYLOADS[kind].dump_json(Payload(reply.value, reply.origin))
    if not nonsense:
        try:
            PAYLOADS[kind].validate_json(payload)
        except ValidationError as error:  # such as a number that is none
            first = error.errors(include_url=False, include_input=False)[0]
            nonsense = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if nonsense:
        raise EngineFault(f"the engine's answer cannot be used ({stage}): {nonsense}")
    return payload


class Memory:
    """The ledger as the stages see it, off the event loop."""

    def __init__(self, ledger: Ledger, keys: WorkKeys, threads: ThreadPoolExecutor) -> None:
        """threads: of the ledger alone, so that no look-up waits behind clips that are decoded."""
        self._ledger = ledger
        self._keys = keys
        self._threads = threads

    async def remember(
        self, clip: Clip, stage: str, key: Any, kind: type, compute: Callable[[], Awaitable[Reply]]
    ) -> Known[Any]:
        """The result of type `kind` for this clip, stage and key. Raises `MerrflowError` where the work failed,
        now or in an earlier run: with the code INVALID_ARGUMENT where another try is of no use."""
        print_ = fingerprint(stage, clip.sha256, key)
        row = await self._ask(self._ledger.stage, clip.name, stage, print_)
        if row is None:
            row = await self._ask(self._ledger.stage, clip.name, stage, self._keys.refused(print_))
        again = row is not None and row.outcome is Outcome.FAILED and row.retry
        if row is None or again:
            row = await self._compute(clip, stage, print_, kind, compute, row.attempts + 1 if row else 1)
        if row.outcome is Outcome.FAILED:
            failure = MerrflowError(row.reason, reason=row.payload.decode() or None)
            # What failed for good failed on its input; the rest is worth another try.
            failure.code = grpc.StatusCode.UNAVAILABLE if row.retry else grpc.StatusCode.INVALID_ARGUMENT
            raise failure
        payload = PAYLOADS[kind].validate_json(row.payload)
        return Known(payload.value, payload.origin, row.outcome, row.reason, row.seconds)

    async def _compute(
        self,
        clip: Clip,
        stage: str,
        print_: str,
        kind: type,
        compute: Callable[[], Awaitable[Reply]],
        attempt: int,
    ) -> StageRow:
        started = time.monotonic()
        try:
            reply = await compute()
            payload = await self._ask(_packed, kind, stage, reply)
        except RunStopped:
            raise
        except MerrflowError as error:
            fault = error.code is not grpc.StatusCode.INVALID_ARGUMENT and attempt < MAX_ATTEMPTS
            seconds = round(time.monotonic() - started, 3)
            reason = error.reason.encode()
            row = StageRow(Outcome.FAILED, str(error), reason, seconds, attempt, error.retryable or fault)
            if error.reason == TooLarge.reason:
                print_ = self._keys.refused(print_)
        else:
            row = StageRow(
                reply.outcome,
                "" if reply.outcome is Outcome.DONE else reply.reason or f"the {stage} was {reply.outcome}",
                payload,
                round(time.monotonic() - started, 3),
                attempt,
            )
        await self._ask(self._ledger.save_stage, clip.name, stage, print_, row)
        return row

    async def before(self, clip: Clip, key: str) -> int:
        """How often the clip was brought to an outcome under this key."""
        old = await self._ask(self._ledger.stage, clip.name, RECORD, key)
        return old.attempts if old else 0

    async def finish(self, clip: Clip, key: str, row: StageRow) -> None:
        """Remembers the clip's outcome and its record."""
        await self._ask(self._ledger.finish_clip, clip.name, key, row)

    async def _ask(self, function: Callable[..., Value], *arguments: Any) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

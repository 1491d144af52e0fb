"""One clip through the graph of stages: each stage runs as soon as what it needs is there, and at most once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from inspect import isawaitable
from typing import Any

import grpc

from merrflow.core.errors import FileAway, RunStopped
from merrflow.core.records import Outcome, Record
from merrflow.core.signal import Signal
from merrflow.pipeline.clip_file import ClipFile, Reading
from merrflow.pipeline.pause import OWN_WORK, Pause, raise_first
from merrflow.pipeline.stage_cache import ClipCache
from merrflow.pipeline.stage_ended import Ending, StageEnded
from merrflow.stages.graph import Graph
from merrflow.stages.record import assemble
from merrflow.stages.stage import Reply, Result, Run, Skip, Stage, Work
from merrflow_serving.errors import MerrflowError

PICTURE = "peak_frame"  # every record has it
IN_STAGE = "in the stage "  # begins the note on an error that names where it was raised


class NoPicture(Exception):
    """The peak frame cannot be had: a failure of the clip, and not of the stage that uses it."""


class Skipped(Exception):
    """A stage ended the clip, with the reason."""


class ClipRun:
    """The stages of one clip. Each is begun once the last of those that it builds on has a result, by whoever computed
    that one: only what may wait beside others has a task of its own, because a task takes longer than most stages."""

    def __init__(
        self,
        graph: Graph,
        run: Run,
        cache: ClipCache,
        file: ClipFile,
        absent: frozenset[str],
        stage_ended: Signal[[StageEnded]] | None = None,
    ) -> None:
        """absent: services that are not asked now; with `OWN_WORK`, what this process computes for the cache.
        stage_ended: told of each stage that asks a service."""
        self._graph = graph
        self._run = run
        self._cache = cache
        self._file = file
        self._absent = absent
        self._stage_ended: Signal[[StageEnded]] = stage_ended or Signal()
        self._awaited = dict(graph.awaited)  # stage -> how many of those that it builds on have no result yet
        self._found: dict[str, Result[Any]] = {}
        self._errors: dict[str, BaseException] = {}
        self._lazy: dict[str, asyncio.Task[Result[Any]]] = {}

    async def record(self) -> tuple[Record, Outcome, str]:
        """The clip's record, its outcome and the reason, once the results of its stages are committed.

        Raises `Skipped`; `Pause` if an absent service is needed; `FileAway`, `OSError`; and the error of a required
        stage, but not before the other stages have ended, so that nothing runs on behind it.
        """
        try:
            async with asyncio.TaskGroup() as group:
                await self._compute(group, [stage for stage in self._graph.eager if not self._awaited[stage.name]])
            await self._cache.settle()
            if self._errors:
                raise_first([self._errors[stage.name] for stage in self._graph if stage.name in self._errors])
            found = {stage.name: self._found[stage.name] for stage in self._graph.eager}  # in the record's order
            found[PICTURE] = await self._lazily(PICTURE)
            return assemble(self._file.clip, self._run, self._graph, found)
        except NoPicture:
            await self._lazily(PICTURE)  # raises why
            raise
        finally:  # an error holds this object: the decoded clip must not stay with it
            self._found.clear()
            self._errors.clear()
            self._lazy.clear()

    async def _compute(self, group: asyncio.TaskGroup, stages: Iterable[Stage[Any]]) -> None:
        """These stages, and those that are ready once they have results."""
        ready = deque(stages)
        while ready:
            stage = ready.popleft()
            if ready and stage.may_wait:
                group.create_task(self._compute(group, [stage]))
                continue
            try:
                self._found[stage.name] = await self._result(stage)
            except BaseException as error:
                self._errors[stage.name] = error
                if not isinstance(error, Exception):  # it is cancelled
                    raise
                continue
            for following in self._graph.following[stage.name]:
                self._awaited[following.name] -= 1
                if not self._awaited[following.name]:
                    ready.append(following)

    async def _lazily(self, name: str) -> Result[Any]:
        if name not in self._lazy:
            self._lazy[name] = asyncio.ensure_future(self._result(self._graph[name]))
        return await self._lazy[name]

    async def _result(self, stage: Stage[Any]) -> Result[Any]:
        needs = [self._found[name].value for name in stage.needs]

        async def use(name: str) -> Any:
            if name not in stage.uses:
                raise KeyError(f"the stage {stage.name!r} uses {name!r} without saying so")
            try:
                return (await self._lazily(name)).value
            except MerrflowError as error:
                if name == PICTURE:  # the stage cache would keep it as this stage's failure
                    raise NoPicture(str(error)) from error
                raise

        work = Work(self._file.clip, self._run, use)
        missing = stage.without(work, *needs) if stage.without else None
        if missing:
            self._tell(stage, Ending.NOT_NEEDED)
            return Result(None, reason=missing.reason)
        if not stage.is_cached:
            reply = await self._reply(stage, work, needs)
            return Result(reply.value, reply.origin, reply.outcome, reply.reason)
        key = stage.key(work, *needs)
        was_computed = False

        async def compute() -> Reply[Any]:
            nonlocal was_computed
            service = stage.service or OWN_WORK
            if service in self._absent:
                raise Pause(frozenset({service}))
            was_computed = True
            reply = await self._reply(stage, work, needs)
            if stage.reads_clip and stage.key(work, *needs) != key:
                raise FileAway(f"a file that belongs to the clip changed while it was read (for the {stage.name})")
            return reply

        try:
            result = await self._cache.result(stage, key, compute)
        except (FileAway, RunStopped):
            raise  # the clip is not through with the stage
        except MerrflowError as error:
            rejected = error.code is grpc.StatusCode.INVALID_ARGUMENT
            self._tell(stage, Ending.REFUSED if rejected else Ending.FAILED, str(error))
            # If a service rejects the input of an optional stage, the clip still gets a record.
            if not (stage.optional and (rejected or stage.witness)):
                raise
            return Result(None, outcome=Outcome.FAILED, reason=str(error), again=not rejected)
        if result.outcome is Outcome.REFUSED:
            self._tell(stage, Ending.REFUSED, result.reason)
        else:
            self._tell(stage, Ending.ANSWERED if was_computed else Ending.KEPT)
        return result

    def _tell(self, stage: Stage[Any], ending: Ending, reason: str = "") -> None:
        if stage.service:
            self._stage_ended(StageEnded(self._file.clip.name, stage.name, stage.service, ending, reason))

    async def _reply(self, stage: Stage[Any], work: Work, needs: list[Any]) -> Reply[Any]:
        """What the stage computes. Raises `FileAway` if the clip's file may have been another one meanwhile."""
        if not (stage.reads_clip and (stage.is_cached or stage.lazy)):  # the others are too cheap to read a file
            return await _computed(stage, work, needs)
        reading = Reading(self._file)
        try:
            reply = await _computed(stage, replace(work, run=replace(work.run, in_thread=reading.in_thread)), needs)
        except (FileAway, RunStopped):
            raise
        except MerrflowError as error:
            await self._file.judge(error, stage.name)
            raise
        # A service may have read it after the last thread of this process.
        await (self._file.check() if stage.service else reading.check())
        return reply


def stage_of(error: BaseException) -> str:
    """Where a fault was, as a part of a sentence: " in the stage peak"; "" if in none."""
    return next((f" {note}" for note in getattr(error, "__notes__", ()) if note.startswith(IN_STAGE)), "")


async def _computed(stage: Stage[Any], work: Work, needs: list[Any]) -> Reply[Any]:
    try:
        value = stage.compute(work, *needs)
        if isawaitable(value):
            value = await value
    except Exception as error:
        error.add_note(f"{IN_STAGE}{stage.name}")  # its type says what becomes of the clip, so it stays as it is
        raise
    if isinstance(value, Skip):
        raise Skipped(value.reason)
    return value if isinstance(value, Reply) else Reply(value)

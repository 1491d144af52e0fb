"""Clips to their outcomes, any number at once.

Stages compute, services measure and describe, the ledger keeps the results. Every clip gets exactly one outcome, and
disturbs no other clip. If services are absent for a while (gpu_phases/), a clip that needs one pauses without an
outcome, and continues from there the next time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count

from sqlalchemy.exc import SQLAlchemyError

from merrflow.core.errors import FileAway, RunStopped, reading_clip
from merrflow.core.measurements import Clip
from merrflow.core.records import Outcome
from merrflow.core.signal import Signal
from merrflow.datasets.entries import RECORDS
from merrflow.pipeline import clip_file
from merrflow.pipeline.clip_file import AwayInARow, ClipFile
from merrflow.pipeline.clip_run import ClipRun, Skipped, stage_of
from merrflow.pipeline.pause import Pause, Paused
from merrflow.pipeline.stage_cache import MAX_ATTEMPTS, StageCache
from merrflow.pipeline.stage_ended import StageEnded
from merrflow.stages.graph import Graph
from merrflow.stages.stage import InThread, Run
from merrflow.store import StageRow
from merrflow_serving.errors import MerrflowError, TooLarge, UnreadableMedia, one_line

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pipeline:
    """The graph of stages, over a run's services and its cache."""

    graph: Graph
    run: Run
    cache: StageCache
    of_rank: Callable[[int], InThread]  # threads for a clip's blocking work, by its number in the order of the work
    away: AwayInARow = field(default_factory=AwayInARow)
    numbers: Iterator[int] = field(default_factory=count)
    stage_ended: Signal[[StageEnded]] = field(default_factory=Signal)  # of stages that ask a service

    async def annotate(self, clip: Clip, absent: frozenset[str] = frozenset()) -> Outcome | Paused:
        """Takes a clip to its outcome and writes it into the ledger, or as far as it goes without the services that are
        absent. If its file is away, it is tried again, now and in the next run. Raises only what cancels or stops the
        run."""
        run = replace(self.run, in_thread=self.of_rank(next(self.numbers)))
        file = ClipFile(clip, run.in_thread)
        started = time.monotonic()
        for pause in (*clip_file.PAUSES, None):
            try:
                outcome = await self._try(clip, file, run, absent)
                self.away.end()
                return outcome
            except FileAway as error:
                reason = str(error)  # the error itself would hold the decoded clip meanwhile
            log.info("clip %s: %s", clip.name, reason)
            if pause is not None:
                await asyncio.sleep(pause)
        self.away.add(reason)
        seconds = round(time.monotonic() - started, 3)
        cached, key = await self.cache.open(clip), self.cache.keys.of_nothing(clip)
        attempts = await cached.attempts(key) + 1
        await cached.finish(key, StageRow(Outcome.FAILED, reason, b"", seconds, attempts, retry=True))
        return Outcome.FAILED

    async def _try(self, clip: Clip, file: ClipFile, run: Run, absent: frozenset[str]) -> Outcome | Paused:
        """One try. Raises `FileAway`; then the clip has no outcome yet."""
        keys = self.cache.keys
        started = time.monotonic()
        payload, retry = b"", False
        await file.begin()
        with reading_clip():
            key = keys.of_record(clip)
        cached = await self.cache.open(clip)
        attempts = await cached.attempts(key) + 1
        try:
            if not clip.sha256:
                raise UnreadableMedia("the file does not exist or cannot be read")
            with reading_clip():
                one = ClipRun(self.graph, run, cached, file, absent, self.stage_ended)
                record, outcome, reason = await one.record()
            payload = RECORDS.dump_json(record)
            key = keys.without(key, {one.witness for of in record.witnesses.values() for one in of if one.again})
        except Pause as pause:
            return Paused(pause.services)
        except Skipped as skipped:
            outcome, reason = Outcome.SKIPPED, str(skipped)
        except (FileAway, RunStopped):
            raise
        except MerrflowError as error:
            outcome, reason, retry = Outcome.FAILED, str(error), error.retryable
            if error.reason == TooLarge.reason:
                key = keys.refused(key)
        except Exception as error:
            log.exception("clip %s", clip.name)
            outcome, reason = Outcome.FAILED, f"a fault in merrflow{stage_of(error)}: {one_line(error)}"
            retry = attempts < MAX_ATTEMPTS or isinstance(error, MemoryError | SQLAlchemyError)
        finally:
            run.let_go(clip.name)
        await file.check()
        seconds = round(time.monotonic() - started, 3)
        await cached.finish(key, StageRow(outcome, reason, payload, seconds, attempts, retry))
        return outcome

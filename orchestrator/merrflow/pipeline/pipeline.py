"""Clips to their outcomes, any number at once.

Stages compute, services measure and describe, the ledger keeps the results. Every clip gets exactly one outcome, and
disturbs no other clip. If services are absent for a while (gpu_phases/), a clip that needs one pauses without an
outcome, and continues from there the next time.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from merrflow.core.errors import RunStopped
from merrflow.core.records import Clip, Outcome
from merrflow.datasets.entries import RECORDS
from merrflow.pipeline.clip_run import ClipRun, Skipped
from merrflow.pipeline.pause import Pause, Paused
from merrflow.pipeline.stage_cache import MAX_ATTEMPTS, StageCache
from merrflow.stages.graph import Graph
from merrflow.stages.stage import Run
from merrflow.store import StageRow
from merrflow_serving.errors import MerrflowError, TooLarge, UnreadableMedia

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pipeline:
    """The graph of stages, over a run's services and its cache."""

    graph: Graph
    run: Run
    cache: StageCache

    async def annotate(self, clip: Clip, absent: frozenset[str] = frozenset()) -> Outcome | Paused:
        """Takes a clip to its outcome and writes it into the ledger, or as far as it goes without the services that are
        absent. Raises only what cancels or stops the run."""
        keys = self.cache.keys
        key = keys.of_record(clip)
        started = time.monotonic()
        payload, retry = b"", False
        cached = await self.cache.open(clip)
        attempts = await cached.attempts(key) + 1
        try:
            if not clip.sha256:
                raise UnreadableMedia("the file does not exist or cannot be read")
            record, outcome, reason = await ClipRun(self.graph, self.run, cached, clip, absent).record()
            payload = RECORDS.dump_json(record)
        except Pause as pause:
            return Paused(pause.services)
        except Skipped as skipped:
            outcome, reason = Outcome.SKIPPED, str(skipped)
        except RunStopped:
            raise
        except MerrflowError as error:
            outcome, reason, retry = Outcome.FAILED, str(error), error.retryable
            if error.reason == TooLarge.reason:
                key = keys.refused(key)
        except OSError as error:
            outcome, reason, retry = Outcome.FAILED, f"{error.strerror or error}: {error.filename}", True
        except Exception as error:
            log.exception("clip %s", clip.name)
            outcome, reason = Outcome.FAILED, f"a fault in merrflow: {type(error).__name__}: {error}"
            retry = attempts < MAX_ATTEMPTS or isinstance(error, MemoryError | SQLAlchemyError)
        seconds = round(time.monotonic() - started, 3)
        await cached.finish(key, StageRow(outcome, reason, payload, seconds, attempts, retry))
        return outcome

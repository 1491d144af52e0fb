"""A run while it is open: its clips, its pipeline, and the clips' outcomes. Made by `open_session`."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from merrflow.clients import Services
from merrflow.clients.events import ServiceEvent
from merrflow.clients.second_service import SecondService
from merrflow.core.errors import InputError, RunStopped, ungrouped
from merrflow.core.measurements import Clip
from merrflow.core.paths import expanded
from merrflow.core.records import Outcome
from merrflow.core.settings import RunSettings
from merrflow.core.signal import Signal
from merrflow.datasets.clip_table import clip_rows
from merrflow.datasets.costs import read_prices
from merrflow.datasets.outputs import Summary, write_outputs
from merrflow.pipeline.concurrency import clips_at_once, mean_size
from merrflow.pipeline.gpu_phases import GpuPhases, Plan
from merrflow.pipeline.local_services import LocalServices
from merrflow.pipeline.pause import Paused, Round
from merrflow.pipeline.pipeline import Pipeline
from merrflow.pipeline.stage_ended import StageEnded
from merrflow.store import Ledger
from merrflow_serving.errors import MerrflowError
from merrflow_serving.machine import host_memory

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engaged:
    """What does the work, if this process has any to do."""

    pipeline: Pipeline
    services: Services
    phases: GpuPhases | None = None  # if the services share a GPU in phases
    largest_batch: int = 0  # of the services in phases, which cannot be asked yet
    local: LocalServices | None = None  # the services, if they are embedded
    second: tuple[SecondService, ...] = ()  # of witnesses and the judge of texts, which need not be there

    async def while_alive(self, work: Awaitable[None]) -> None:
        """Does `work`. Raises `EmbeddedServiceDies` at once if an embedded service has died too often meanwhile."""
        await (self.local.while_alive(work) if self.local else work)


class Session:
    """An open run."""

    def __init__(
        self,
        out: Path,
        settings: RunSettings,
        ledger: Ledger,
        clips: list[Clip],
        todo: list[Clip],
        services: Services | None = None,
        engaged: Engaged | None = None,
    ) -> None:
        """todo: the clips without a final outcome. services: those that must all be there (none in GPU phases).
        engaged: None if this process has nothing to do."""
        self.out = out
        self.settings = settings
        self.clips = clips
        self.todo = todo
        self._by_name = {clip.name: clip for clip in todo}
        self.summary: Summary | None = None  # once the outputs are written
        self.clip_begun: Signal[[str]] = Signal()
        self.clip_finished: Signal[[str, Outcome]] = Signal()
        self.advanced: Signal[[float]] = Signal()  # by how many clips, or parts of one
        self.stage_ended: Signal[[StageEnded]] = Signal()  # of the stages that ask a service
        self.service_event: Signal[[ServiceEvent]] = Signal()
        self._ledger = ledger
        self._prices = read_prices(expanded(settings.prices) if settings.prices else None)
        self.services = services
        self._engaged = engaged
        self.clips_at_once = settings.clips_at_once or clips_at_once(
            self._rooms(), host_memory().free_bytes, mean_size(todo)
        )
        self._at_once = asyncio.Semaphore(self.clips_at_once)
        self._beginning = asyncio.Lock()  # held by who gives clips their places
        if self._phases:
            self._phases.advanced.connect(self.advanced)
        if engaged:
            engaged.pipeline.stage_ended.connect(self.stage_ended)
            engaged.services.events.connect(self.service_event)

    def _rooms(self) -> list[int]:
        """How many calls each service takes at once."""
        connections = self.services.connections.values() if self.services else ()
        largest = self._engaged.largest_batch if self._engaged else 0
        return [*(connection.replicas.room for connection in connections), 2 * largest]

    @property
    def _all_services(self) -> list[Services]:
        return [*([self.services] if self.services else []), *(self._engaged.second if self._engaged else ())]

    @property
    def _phases(self) -> GpuPhases | None:
        return self._engaged.phases if self._engaged else None

    def raise_if_broken(self) -> None:
        """Raises `InputError` with what to do if a service has already reported that it cannot work."""
        try:
            for services in self._all_services:
                services.raise_if_broken()
        except MerrflowError as error:
            raise InputError(str(error)) from error

    async def wait_ready(self) -> None:
        """Returns once all models are loaded. Raises `InputError` with what to do if one cannot be, and
        `EmbeddedServiceDies`."""
        try:
            loading = _all(services.wait_ready() for services in self._all_services)
            await (self._engaged.while_alive(loading) if self._engaged else loading)
            sentences = (sentence for services in self._all_services for sentence in services.destinations())
            for sentence in dict.fromkeys(sentences):
                log.warning("%s", sentence)
        except RunStopped:
            raise
        except MerrflowError as error:
            raise InputError(str(error)) from error

    @property
    def plan(self) -> Plan | None:
        """Which services are on the GPU in which phase, if they share it."""
        return self._phases.plan if self._phases else None

    async def rounds(self) -> AsyncIterator[Round]:
        """The clips to annotate: once with all services, or once per GPU phase with those of the phase."""
        names = [clip.name for clip in self.todo]
        if self._phases is None:
            yield Round(names)
            return
        async for one in self._phases.rounds(names):
            yield one

    def stages_of_services(self, absent: frozenset[str] = frozenset()) -> dict[str, frozenset[str]]:
        """The services that this process asks, in the order of their first work, and the stages that ask each."""
        graph = self._engaged.pipeline.graph if self._engaged else ()
        found: dict[str, set[str]] = {}
        for stage in graph:
            if stage.service and stage.service not in absent:
                found.setdefault(stage.service, set()).add(stage.name)
        return {service: frozenset(names) for service, names in found.items()}

    async def annotate(self, names: Sequence[str], absent: frozenset[str] = frozenset()) -> Counter[str]:
        """Takes these clips to their outcomes, or as far as possible without the absent services. Works on as many at
        once as the settings allow: those of a call that came earlier first, so that calls do not end all together and
        leave the slowest service without work while the next ones begin."""
        outcomes: Counter[str] = Counter()
        if self._engaged is None:
            return outcomes
        pipeline, phases = self._engaged.pipeline, self._engaged.phases

        async def annotate_one(clip: Clip) -> None:
            outcome = await pipeline.annotate(clip, absent)
            if isinstance(outcome, Paused):
                assert phases, "services are absent in phases only"
                phases.paused(clip.name, outcome)
                return
            outcomes[outcome] += 1
            self.clip_finished(clip.name, outcome)
            if phases:
                phases.done(clip.name)
            else:
                self.advanced(1.0)

        async def annotate_all() -> None:
            with ungrouped():
                async with asyncio.TaskGroup() as group, self._beginning:
                    for name in dict.fromkeys(names):
                        if clip := self._by_name.get(name):  # else it is finished
                            await self._at_once.acquire()
                            self.clip_begun(name)
                            group.create_task(annotate_one(clip)).add_done_callback(self._free_place)

        await self._engaged.while_alive(annotate_all())
        return outcomes

    def _free_place(self, ended: asyncio.Task[None]) -> None:
        self._at_once.release()

    @property
    def is_handed_out(self) -> bool:
        """Whether there is work that other processes do: this one has no pipeline."""
        return bool(self.todo) and self._engaged is None

    def outcomes(self) -> int:
        """How many outcomes were ever written, by any process: each one makes it one more. Blocking."""
        return self._ledger.outcomes()

    def table(self, limit: int) -> list[dict[str, str]]:
        """This run's first clips with their outcomes, for a table. Blocking."""
        return clip_rows(self._ledger, {clip.name for clip in self.clips}, limit)

    def write_outputs(self) -> Summary:
        """Writes all output files from the ledger, if anything is new in it. Blocking."""
        names = {clip.name for clip in self.clips}
        self.summary = write_outputs(
            self._ledger, self.out, names, len(self.todo), unless_current=True, prices=self._prices
        )
        return self.summary


async def _all(work: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*work)

"""A run in rounds: first a look at what is missing, then one phase after the other, each with its own containers.

In each phase that has work for it, a clip goes through the pipeline as far as the services of the phase allow, and the
ledger keeps the results. The last phase that it needs takes it to its outcome. So a stopped run can continue, and a
phase in which nothing is missing starts no container.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from merrflow.clients import Identity, Services, identity
from merrflow.clients.remote import leaves
from merrflow.clients.second_service import SecondService
from merrflow.core.errors import InputError
from merrflow.core.settings import RunSettings
from merrflow.core.signal import Signal
from merrflow.pipeline.gpu_phases.plan import Phase, Plan
from merrflow.pipeline.pause import OWN_WORK, Paused, Round
from merrflow.stages.graph import GRAPH
from merrflow_serving.errors import MerrflowError, NotReady

log = logging.getLogger(__name__)
CONNECT_SECONDS = 2.0  # for one try; between two tries its container is checked


class Fleet(Protocol):
    """The services' containers; see `containers.Containers`."""

    def running(self) -> frozenset[str]: ...
    def start(self, services: Iterable[str]) -> None: ...
    def stop(self, services: Iterable[str]) -> None: ...
    def trouble(self, service: str) -> str: ...


class GpuPhases:
    """Which services are on the card when, and which clips are worked on then."""

    def __init__(
        self,
        plan: Plan,
        fleet: Fleet,
        addresses: Mapping[str, str],
        identities: Mapping[str, Identity],
        settings: RunSettings,
        say: Callable[[str], None] = lambda text: None,
        second: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """identities: of the engines as planned. A service that then runs another engine ends the run. second: the
        names of second engines, and their roles; one that does not start is not asked."""
        self.plan = plan
        patient = settings.model_copy(update={"connect_seconds": CONNECT_SECONDS})
        self.services = Services({name: where for name, where in addresses.items() if name not in second}, patient)
        self.second = {
            name: SecondService(f"the witness {name}", role, addresses[name], patient) for name, role in second.items()
        }
        self._fleet = fleet
        self._identities = identities
        self._settings = settings
        self._say = say
        self._waiting: dict[str, frozenset[str]] = {}  # clip -> services it waits for
        self._told: set[str] = set()  # what is sent beyond this network, as far as it was said
        self._passed: dict[str, float] = {}  # clip -> share of its work
        self.advanced: Signal[[float]] = Signal()  # by how many clips, or parts of one

    async def rounds(self, clips: Sequence[str]) -> AsyncIterator[Round]:
        """The clips of each round, once its services are warm. The caller reports each clip to `paused` or `done`
        before the next round. Raises `InputError` if a service does not start."""
        self._waiting = dict.fromkeys(clips, frozenset())
        yield Round(list(clips), frozenset({*self._identities, OWN_WORK}))
        for number, phase in enumerate(self.plan.phases, 1):
            here = frozenset({*phase.services, *self.plan.throughout})
            names = [name for name in clips if self._waiting.get(name, frozenset()) & here]
            if not names:
                continue
            needed = self._needed(names) & here
            try:
                await self._switch(number, phase, needed)
            except MerrflowError as error:
                raise InputError(str(error)) from error
            yield Round(names, frozenset(self._identities) - needed)

    async def close(self) -> None:
        """Ends all connections."""
        await asyncio.gather(*(one.__aexit__() for one in (self.services, *self.second.values())))

    def paused(self, clip: str, pause: Paused) -> None:
        """The clip went as far as the services of the round allow."""
        # Before its first stage, it is unknown what a clip will need.
        waits = frozenset(self._identities) if OWN_WORK in pause.services else pause.services
        self._waiting[clip] = waits
        count = len(self.plan.phases)
        first = next((n for n, phase in enumerate(self.plan.phases) if waits & set(phase.services)), count - 1)
        self._advance(clip, 0.0 if waits & set(self.plan.throughout) else first / count)

    def done(self, clip: str) -> None:
        """The clip got its outcome."""
        self._waiting.pop(clip, None)
        self._advance(clip, 1.0)

    def _advance(self, clip: str, share: float) -> None:
        before = self._passed.get(clip, 0.0)
        if share > before:
            self._passed[clip] = share
            self.advanced(share - before)

    def _needed(self, names: Collection[str]) -> frozenset[str]:
        """What these clips wait for, and what may be called once that has answered."""
        waits = frozenset().union(*(self._waiting[name] for name in names))
        # Until a service has answered, it is unknown whether those that build on its answer will be called.
        return waits.union(*(GRAPH.services_after(service) for service in waits)) & frozenset(self._identities)

    async def _switch(self, number: int, phase: Phase, needed: frozenset[str]) -> None:
        """Returns once the needed services are warm and no service of another phase is on the card."""
        running = await asyncio.to_thread(self._fleet.running)
        stop = sorted(running & frozenset(self.plan.on_gpu) - frozenset(phase.services))
        start = sorted(needed - running)
        words = [f"{what} {', '.join(names)}" for what, names in (("stopping", stop), ("starting", start)) if names]
        if words:
            self._say(f"phase {number} of {len(self.plan.phases)}: {', '.join(words)}")
        await asyncio.to_thread(self._fleet.stop, stop)
        await asyncio.to_thread(self._fleet.start, [name for name in start if name not in self.second])
        try:
            async with asyncio.TaskGroup() as group:
                for name in sorted(needed):
                    group.create_task(self._heard(name, name in start) if name in self.second else self._ready(name))
        except ExceptionGroup as several:  # not except*, which would wrap the error in a group again
            raise several.exceptions[0] from None
        for sentence in (one for services in (self.services, *self.second.values()) for one in services.destinations()):
            if sentence not in self._told:
                self._told.add(sentence)
                log.warning("%s", sentence)

    async def _heard(self, name: str, start: bool) -> None:
        """Returns once a second engine is warm or counts as away. Raises `NotReady` only if it would send what must not
        leave."""
        try:
            if start:
                await asyncio.to_thread(self._fleet.start, [name])
            await self._ready(name)
        except (InputError, MerrflowError) as error:
            self.second[name].raise_if_broken()
            self.second[name].give_up(str(error))

    async def _ready(self, name: str) -> None:
        """Returns once the service is warm. Raises `NotReady` with its problem or its container's."""
        connection = self.second[name].connection if name in self.second else self.services.connections[name]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.ready_seconds
        while True:
            try:
                await connection.connect()
                found = identity(connection.info.engine)
                if found != self._identities[name]:
                    raise InputError(
                        f"at {connection.address} {name} runs {_short(found)}, and its container is set to "
                        f"{_short(self._identities[name])}: set the address of the container, or create it anew "
                        "(`docker-compose up --no-start`)"
                    )
                return await connection.wait_ready()
            except NotReady:
                trouble = await asyncio.to_thread(self._fleet.trouble, name)
                if trouble:
                    raise NotReady(f"the service {name} did not start: {trouble}") from None
                if connection.info.problem or leaves(connection.info) or loop.time() > deadline:
                    raise


def _short(engine: Identity) -> str:
    return f"{engine['engine']} {engine['model']} {engine['revision'][:24]}".strip()

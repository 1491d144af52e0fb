"""All replicas of one service: found by its name, watched, and lent to calls.

What gRPC does: it connects, reconnects with back-off, and notices dead machines (`replica.CHANNEL_OPTIONS`).

What its service config cannot do here. `round_robin` has one channel for all replicas, and a call on it cannot choose
one. Here every replica has a channel of its own: each answers `Info` before it gets a call (records must not mix
engines), the idlest is chosen, and a call that failed at one goes to another. `healthCheckConfig` ends all calls on
the channel of a replica that is NOT_SERVING, so also `Info`, which says why and for how long (measured with grpcio
1.85: "backend unhealthy"). So `Info` is asked for every second instead; it holds all that health has, and the reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, suppress

import grpc

from merrflow.clients.addresses import targets
from merrflow.clients.events import LostReplicas, ServiceEvent
from merrflow.clients.identity import Statement, identity, refusal
from merrflow.clients.remote import HOW_TO_ALLOW, destination, leaves
from merrflow.clients.replica import InfoFailed, Replica, State
from merrflow.clients.wait_queue import WaitQueue
from merrflow.common.v1 import common_pb2
from merrflow.core.errors import RunStopped
from merrflow.core.settings import RunSettings
from merrflow.core.signal import Signal
from merrflow_serving.catalog import SERVICES
from merrflow_serving.errors import NotReady

log = logging.getLogger(__name__)
LOOKUP_SECONDS = 10.0  # between two look-ups of the name
LOOKUP_SECONDS_IN_NEED = 1.0  # the same while no replica is ready
INFO_SECONDS = 1.0  # between two times that a replica is asked for `Info`
INFO_SECONDS_IN_NEED = 0.25  # the same while it is away or loads
OTHERS_SECONDS = 3.0  # that the other replicas have to answer at first, once one has


class ServiceGone(RunStopped):
    """A service stays away: the run stops here, and no clip is blamed."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "SERVICE_GONE"
    retryable = False


class ReplicasDiffer(NotReady):
    """What is at the addresses is not one and the same service."""

    reason = "REPLICAS_DIFFER"


class Replicas:
    """The replicas of one service. `open`, then `borrow` one for each call, then `close`."""

    def __init__(
        self,
        name: str,
        address: str,
        settings: RunSettings,
        events: Signal[[ServiceEvent]] | None = None,
        given_by: str = "",
    ) -> None:
        self._given_by = given_by or f"{SERVICES[name].env_prefix}ADDRESS"  # the setting that has the address
        self.name = name
        self.address = address
        self._settings = settings
        self._lost = LostReplicas(name, events or Signal())
        self._by_target: dict[str, Replica] = {}
        self._warned: dict[Replica, str] = {}  # the problem of each that was logged last
        self._tasks: set[asyncio.Task[None]] = set()
        self._reference: Statement | None = None  # what every replica must be
        self._ready_until = 0.0  # loop time; when the last ready one ceased to be
        self._queue = WaitQueue(self, self._raise_if_gone)
        self._asked = asyncio.Event()  # set each time that a replica answered `Info`, or did not
        self._was_ready = False  # any of them, ever
        self._follows_name = False

    def __iter__(self) -> Iterator[Replica]:
        return iter(self._by_target.values())

    @property
    def reference(self) -> common_pb2.InfoResponse:
        """What the service says of itself: a ready replica's statement, if one was ready."""
        return self._reference.info if self._reference else common_pb2.InfoResponse()

    @property
    def room(self) -> int:
        """Calls that all replicas take at once, with those that still load."""
        return sum(replica.room for replica in self if replica.state in (State.READY, State.LOADING))

    async def open(self) -> None:
        """Finds the replicas and asks each for `Info`; if that was done before, again as if for the first time.

        Raises `NotReady` if none answers within `connect_seconds`, `ReplicasDiffer` if they are not the same.
        """
        loop = asyncio.get_running_loop()
        self._ready_until = loop.time()
        self._reference = None
        for replica in self:
            replica.ask_again()
        deadline = loop.time() + self._settings.connect_seconds
        while True:
            try:
                await self._look_up()
                break
            except OSError as error:
                if loop.time() > deadline:
                    raise self._no_answer() from error
                await asyncio.sleep(0.5)
        if not self._follows_name:
            self._follows_name = True
            self._begin(self._follow_name())
        while not self._answered():
            if not await self._next_info(deadline):
                raise self._no_answer()
        patience = min(loop.time() + OTHERS_SECONDS, deadline)
        while not all(replica.times_asked for replica in self) and await self._next_info(patience):
            pass
        refused = [replica.problem for replica in self if replica.state is State.REFUSED]
        if refused:
            raise ReplicasDiffer("; ".join(refused))
        if not self._reference:  # none said what it runs, so there is nothing to go on with
            raise self._no_answer()

    def _answered(self) -> list[Replica]:
        return [replica for replica in self if replica.times_asked and replica.state not in (State.AWAY, State.SILENT)]

    async def _next_info(self, deadline: float) -> bool:
        """True once a replica has been asked for `Info` again, False if none is before the deadline."""
        self._asked.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                return await self._asked.wait()
        return False

    def _no_answer(self) -> NotReady:
        refusals = dict.fromkeys(replica.refusal for replica in self if replica.refusal)
        if refusals:
            return NotReady(f"the service {self.name} at {self.address} refuses this client: {'; '.join(refusals)}")
        return NotReady(
            f"the service {self.name} does not answer at {self.address}: start it with `merrflow serve "
            f"{self.name}`, or set {self._given_by} to where it is"
        )

    async def wait_ready(self, say: Callable[[str], None] = lambda text: None) -> None:
        """Returns once one replica is warm; others may follow. Raises `NotReady` with the problem if none can be.

        say: called with what the service does meanwhile, each time that changes.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.ready_seconds
        answered_at = loop.time()
        said = ""
        while True:
            self.raise_if_broken()
            if any(replica.state is State.READY for replica in self):
                return
            if self.reference.doing not in ("", said):
                said = self.reference.doing
                say(f"{self.name}: {said}")
            if self._answered():
                answered_at = loop.time()
            elif loop.time() > answered_at + self._settings.connect_seconds:
                raise self._no_answer()
            if not await self._next_info(deadline):
                raise NotReady(f"the service {self.name} at {self.address} did not finish loading its model")

    def raise_if_broken(self) -> None:
        """Raises `NotReady` with the problem if no replica works, and none still loads."""
        states = {replica.state for replica in self}
        if states & {State.BROKEN, State.REFUSED} and not states & {State.READY, State.LOADING}:
            raise NotReady(f"the service {self.name} cannot work: {self._problems()}")

    def _problems(self) -> str:
        problems = [replica.problem for replica in self if replica.state in (State.BROKEN, State.REFUSED)]
        return "; ".join(dict.fromkeys(problems))

    def borrow(
        self, *, avoid: Replica | None = None, is_suspect: bool = False, alone: bool = False
    ) -> AbstractAsyncContextManager[Replica]:
        """A ready replica for one call, in the order of asking. Raises `ServiceGone` if none comes back.

        avoid: not this one if there is another. is_suspect: at most one such call at a time is at work on a replica.
        alone: nothing else is at work on the replica meanwhile.
        """
        return self._queue.borrow(avoid, is_suspect, alone)

    def _raise_if_gone(self, since: float) -> None:
        states = {replica.state for replica in self}
        if State.READY in states:
            return
        comes_back = states & {State.LOADING, State.SILENT}
        patience = self._settings.ready_seconds if comes_back else self._settings.retry_seconds
        if asyncio.get_running_loop().time() - max(since, self._ready_until) >= patience:
            problems = self._problems()
            raise ServiceGone(
                f"the service {self.name} at {self.address} has been away for {patience:.0f} s"
                f"{f' ({problems})' if problems else ''}; start it, and run the same command again to go on from here"
            )

    def drop(self, replica: Replica, state: State, problem: str) -> None:
        """No more calls for this replica until it says again that it is ready, for which it is asked at once."""
        if replica.state is State.READY:
            self._set(replica, state, problem)
            replica.ask_now.set()

    def accepts(self, replica: Replica, engine: common_pb2.EngineInfo) -> bool:
        """Whether an answer is of the engine that the run began with. A replica may have been started anew."""
        if not engine.engine or identity(engine) == identity(self.reference.engine):
            return True
        self.drop(replica, State.AWAY, "another engine answered")
        return False

    async def _look_up(self) -> None:
        """Looks the name up. Raises `OSError` if that fails; then the replicas stay as they are."""
        found = await targets(self.address, SERVICES[self.name].port)
        for target, replica in self._by_target.items():
            replica.list(target in found)
        for target, host in found.items():
            if target not in self._by_target:
                replica = self._by_target[target] = Replica(target, host, self._settings)
                self._begin(self._watch(target, replica))

    async def _follow_name(self) -> None:
        while True:
            in_need = not any(replica.state is State.READY for replica in self)
            await asyncio.sleep(LOOKUP_SECONDS_IN_NEED if in_need else LOOKUP_SECONDS)
            try:
                await self._look_up()
            except OSError as error:
                log.debug("%s: %s cannot be looked up: %s", self.name, self.address, error)

    async def _watch(self, target: str, replica: Replica) -> None:
        """Asks a replica for `Info` again and again, until it is neither ready nor listed."""
        while replica.is_listed or replica.in_flight or replica.state is State.READY:
            replica.ask_now.clear()
            try:
                await replica.ask()
                self._judge(replica)
            except InfoFailed as failure:
                self._set(replica, failure.state, str(failure))
            replica.count_answer()
            self._asked.set()
            in_need = replica.state in (State.AWAY, State.LOADING)
            with suppress(TimeoutError):
                async with asyncio.timeout(INFO_SECONDS_IN_NEED if in_need else INFO_SECONDS):
                    await replica.ask_now.wait()
        del self._by_target[target]
        self._warned.pop(replica, None)
        self._lost.forget(replica)
        await replica.channel.close(None)

    def _judge(self, replica: Replica) -> None:
        info = replica.info
        statement = replica.statement
        ready = [other.statement for other in self if other is not replica and other.state is State.READY]
        if problem := refusal(self.name, statement, self._reference, ready):
            self._set(replica, State.REFUSED, problem)
            return
        if info.ready or not self.reference.ready:
            self._reference = statement
        if info.problem:
            self._set(replica, State.BROKEN, info.problem)
        elif leaves(info) and not self._settings.allow_remote:
            self._set(replica, State.BROKEN, f"{destination(self.name, info)}; {HOW_TO_ALLOW}")
        else:
            self._set(replica, State.READY if info.ready else State.LOADING, "")

    def _set(self, replica: Replica, state: State, problem: str) -> None:
        before = replica.become(state, problem)
        if before is State.READY:
            self._ready_until = asyncio.get_running_loop().time()
        self._lost.judge(replica, before, self)
        # Before one was ready, whoever waits for it gets the problem as an error.
        if state in (State.REFUSED, State.BROKEN) and problem != self._warned.get(replica) and self._was_ready:
            self._warned[replica] = problem
            log.warning("%s at %s gets no calls: %s", self.name, replica.address, problem)
        elif state is not before:
            log.debug("%s at %s is %s: %s", self.name, replica.address, state, problem or "all well")
        if state is State.READY:
            self._was_ready = True
            self._queue.assign()

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Ends the watch and closes all channels; calls at work are cancelled."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._queue.cancel()
        await asyncio.gather(*(replica.channel.close(None) for replica in self))

"""What happens to the services' replicas and to calls, for whoever shows a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from merrflow.clients.replica import Replica, State
from merrflow.core.signal import Signal


class EventKind(StrEnum):
    """What happened."""

    LOST = "replica lost"
    BACK = "replica back"
    RETRY = "retry"


@dataclass(frozen=True)
class ServiceEvent:
    """One of these, with the reason. The clip is the one whose call is tried again; "" if it is of no clip."""

    kind: EventKind
    service: str  # its name in the catalog
    text: str  # "llama3 at 10.0.0.7:50054 gets no calls (away: connection refused); 1 of 2 replicas ready"
    clip: str = ""


class LostReplicas:
    """The replicas of one service that were ready and are not, each reported when it is lost and when it is back."""

    def __init__(self, service: str, events: Signal[[ServiceEvent]]) -> None:
        self._service = service
        self._events = events
        self._lost: set[Replica] = set()

    def judge(self, replica: Replica, before: State, replicas: Iterable[Replica]) -> None:
        """Compares the replica's state with the one before. replicas: all of the service."""
        states = [one.state for one in replicas]
        left = f"{states.count(State.READY)} of {len(states)} replicas ready"
        where = f"{self._service} at {replica.address}"
        if before is State.READY and replica.state is not State.READY:
            self._lost.add(replica)
            why = f"{replica.state}: {replica.problem}" if replica.problem else str(replica.state)
            self._events(ServiceEvent(EventKind.LOST, self._service, f"{where} gets no calls ({why}); {left}"))
        elif replica.state is State.READY and replica in self._lost:
            self._lost.discard(replica)
            self._events(ServiceEvent(EventKind.BACK, self._service, f"{where} is ready again; {left}"))

    def forget(self, replica: Replica) -> None:
        """The service's name no longer leads to it."""
        self._lost.discard(replica)

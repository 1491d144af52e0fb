"""How far each service is with the clips of a shard, counted from what happens to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from merrflow.core.records import Outcome
from merrflow.pipeline.session import Session
from merrflow.pipeline.stage_ended import Ending, StageEnded

_ERRORS = (Ending.FAILED, Ending.REFUSED)


@dataclass(frozen=True)
class Count:
    """One service with a shard's clips."""

    service: str
    done: int  # clips that it has answered, now or in an earlier run
    of: int  # clips that need it, as far as is known: one that ends without it is taken off
    a_second: float  # clips, from the shard's first clip in this process to the service's last answer
    errors: int  # clips that it failed at or refused

    def __str__(self) -> str:
        # A large model may take a minute for a clip, and 0.0/s would look as if it stood still.
        slow = 0 < self.a_second < 0.1
        speed = f"{60 * self.a_second:.1f}/min" if slow else f"{self.a_second:.1f}/s"
        return f"{self.service} {self.done} of {self.of}, {speed}, errors {self.errors}"


class ServiceProgress:
    """Counts. Clips of other shards, which the same session reports too, are passed over."""

    def __init__(
        self,
        stages: Mapping[str, Collection[str]],
        clips: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """stages: the stages that ask each service, as `Session.stages_of_services`."""
        self._stages = {service: frozenset(names) for service, names in stages.items()}
        self._open = frozenset(clips)  # of this shard
        self._ended: dict[str, dict[str, dict[str, Ending]]] = {}  # clip -> service -> stage -> ending; until it ends
        self._counted: dict[str, set[str]] = {service: set() for service in stages}  # clips that are in `done`
        self._spared = dict.fromkeys(stages, 0)  # clips that ended without the service
        self._errors: dict[str, set[str]] = {service: set() for service in stages}
        self._work: dict[str, tuple[float, int]] = {}  # moment of the last answer, clips until then
        self._clock = clock
        self._began: float | None = None  # a shard may wait for those before it

    def clip_begun(self, name: str) -> None:
        """A clip is in work."""
        if self._began is None and name in self._open:
            self._began = self._clock()

    def stage_ended(self, event: StageEnded) -> None:
        """A clip is through with a stage."""
        wanted = self._stages.get(event.service)
        if event.clip not in self._open or wanted is None:
            return
        endings = self._ended.setdefault(event.clip, {}).setdefault(event.service, {})
        endings[event.stage] = event.ending
        if event.ending in _ERRORS:
            self._errors[event.service].add(event.clip)
        if endings.keys() >= wanted:
            self._count(event.clip, event.service)

    def clip_ended(self, name: str) -> None:
        """A clip has its outcome: no stage of it follows."""
        if name not in self._open:
            return
        for service in self._stages:
            self._count(name, service)
        self._ended.pop(name, None)

    def _count(self, clip: str, service: str) -> None:
        endings = self._ended.get(clip, {}).get(service, {})
        if clip in self._counted[service]:
            return
        self._counted[service].add(clip)
        if not set(endings.values()) - {Ending.NOT_NEEDED}:
            self._spared[service] += 1
        elif set(endings.values()) - {Ending.NOT_NEEDED, Ending.KEPT}:
            _, clips = self._work.get(service, (0.0, 0))
            self._work[service] = (self._clock(), clips + 1)

    def counts(self) -> list[Count]:
        """Each service, in the order of their first work."""
        return [self._of(service) for service in self._stages]

    def _of(self, service: str) -> Count:
        spared = self._spared[service]
        last, clips = self._work.get(service, (0.0, 0))
        return Count(
            service,
            len(self._counted[service]) - spared,
            len(self._open) - spared,
            clips / max(last - (self._began or 0.0), 1e-3) if clips else 0.0,
            len(self._errors[service]),
        )


@contextmanager
def counted(session: Session, names: Sequence[str], absent: frozenset[str] = frozenset()) -> Iterator[ServiceProgress]:
    """What happens to these clips while the block lasts."""
    progress = ServiceProgress(session.stages_of_services(absent), names)

    def clip_ended(name: str, outcome: Outcome) -> None:
        progress.clip_ended(name)

    with (
        session.clip_begun.connected(progress.clip_begun),
        session.stage_ended.connected(progress.stage_ended),
        session.clip_finished.connected(clip_ended),
    ):
        yield progress

"""What happens in a run as lines of its log in Prefect: every tenth of the work, and every event with its clip.

100,000 clips with errors must not flood the log: each kind of event may write a few lines at once and then one now and
again, and says how many it left out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from merrflow.clients.events import EventKind, ServiceEvent
from merrflow.core.errors import listed
from merrflow.pipeline.session import Session
from merrflow.pipeline.stage_ended import Ending, StageEnded

AT_ONCE = 20  # lines of a kind, before they are held back
SECONDS_A_LINE = 30.0  # then
LONGEST = 500  # characters of a line


class Lines:
    """A log that keeps its lines until somebody takes them."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, str]] = []
        self._write: Callable[[int, str], object] | None = None

    def log(self, level: int, text: str, *values: object) -> None:
        """As of a logger."""
        line = text % values
        if self._write:
            self._write(level, line)
        else:
            self._kept.append((level, line))

    def info(self, text: str, *values: object) -> None:
        """As of a logger."""
        self.log(logging.INFO, text, *values)

    def to(self, write: Callable[[int, str], object]) -> None:
        """write: given the level and the line, of those that were kept and of each that comes."""
        self._write = write
        for level, line in self._kept:
            write(level, line)
        self._kept.clear()


class RateLimit:
    """A token bucket for each kind of line."""

    def __init__(self, write: Callable[[int, str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """write: given the level and the line."""
        self._write = write
        self._clock = clock
        self._kinds: dict[str, tuple[float, float]] = {}  # tokens, and when they were counted
        self._held: dict[str, int] = {}  # lines left out since the last one of the kind

    def line(self, kind: str, level: int, text: str) -> None:
        """Writes the line, or counts it."""
        now = self._clock()
        tokens, counted = self._kinds.get(kind, (float(AT_ONCE), now))
        tokens = min(AT_ONCE, tokens + (now - counted) / SECONDS_A_LINE)
        if tokens < 1:
            self._kinds[kind] = tokens, now
            self._held[kind] = self._held.get(kind, 0) + 1
            return
        self._kinds[kind] = tokens - 1, now
        held = self._held.pop(kind, 0)
        self._write(level, f"{listed([text], LONGEST)}{f' (and {held} more of this kind before)' if held else ''}")

    def close(self) -> None:
        """Says what was left out after the last line of each kind."""
        for kind, held in self._held.items():
            self._write(logging.INFO, f"{kind}: {held} more")
        self._held.clear()


@contextmanager
def logged_events(session: Session, log: Lines) -> Iterator[None]:
    """Writes the session's events into a log while the block lasts."""
    limit = RateLimit(lambda level, line: log.log(level, "%s", line))

    def service_event(event: ServiceEvent) -> None:
        level = logging.INFO if event.kind is EventKind.BACK else logging.WARNING
        limit.line(event.kind, level, f"{event.kind}: {f'clip {event.clip}: ' if event.clip else ''}{event.text}")

    def stage_ended(event: StageEnded) -> None:
        if event.ending in (Ending.REFUSED, Ending.FAILED):
            where = f"clip {event.clip}: {event.stage} by {event.service}"
            limit.line(event.ending, logging.WARNING, f"{event.ending}: {where}: {event.reason}")

    with session.service_event.connected(service_event), session.stage_ended.connected(stage_ended):
        try:
            yield
        finally:
            limit.close()


class Tenths:
    """A line for each tenth of the work."""

    def __init__(self, log: Any, total: int, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        """what: of which work, such as "12 clips into out"."""
        self._log = log
        self._total = total
        self._what = what
        self._clock = clock
        self._began = clock()
        self._told = 0

    def at(self, done: float) -> None:
        """This many clips are done."""
        tenth = int(10 * done / self._total + 1e-9) if self._total else 10
        if tenth <= self._told:
            return
        self._told = tenth
        speed = done / max(self._clock() - self._began, 1e-3)
        left = (self._total - done) / speed if speed else 0
        end = f", about {left:.0f} s left" if done < self._total else ""
        self._log.info("%d %% of %s: %d done, %.2f clips/s%s", 10 * tenth, self._what, done, speed, end)

"""How a clip waits while services are absent (gpu_phases/)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

OWN_WORK = "merrflow"  # beside the services' names: decoding and reading subtitles


@dataclass(frozen=True)
class Paused:
    """A clip without an outcome. It continues once these services are there."""

    services: frozenset[str]


@dataclass(frozen=True)
class Round:
    """Clips to take through the pipeline, and the services that they cannot ask meanwhile."""

    names: Sequence[str]
    absent: frozenset[str] = frozenset()


class Pause(Exception):
    """Work that waits for services."""

    def __init__(self, services: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(services)))
        self.services = services


async def all_or_none(*work: Awaitable[Any]) -> list[Any]:
    """Awaits all. The first error is raised once the others have ended, so that nothing runs on behind it.

    If the only errors are pauses, one `Pause` for all services waited for is raised.
    """
    if len(work) < 2:  # most stages need one other; to gather it takes the loop longer than many of them
        one = work[0] if work else None
        try:
            return [await one] if one else []
        finally:  # as below
            del work, one
    results = await asyncio.gather(*work, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    if not errors:
        return results
    pauses = [error for error in errors if isinstance(error, Pause)]
    error = next((error for error in errors if not isinstance(error, Pause)), None)
    if error is None:
        error = Pause(frozenset().union(*(pause.services for pause in pauses)))
    try:
        raise error
    finally:  # the error holds this frame: in a circle with it, decoded clips would wait for the garbage collection
        del work, results, errors, pauses, error

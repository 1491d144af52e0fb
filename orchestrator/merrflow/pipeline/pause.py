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
    results = await asyncio.gather(*work, return_exceptions=True)
    pauses = [result for result in results if isinstance(result, Pause)]
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Pause):
            raise result
    if pauses:
        raise Pause(frozenset().union(*(pause.services for pause in pauses)))
    return results

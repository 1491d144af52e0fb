"""How a clip waits where services are absent for a while (gpu_sharing/)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

OWN_WORK = "merrflow"  # beside the services' names: decoding and reading subtitles


@dataclass(frozen=True)
class Paused:
    """A clip without an outcome; it goes on once these services are there."""

    services: frozenset[str]


@dataclass(frozen=True)
class Round:
    """Clips to go through the pipeline, and what they cannot ask meanwhile."""

    names: Sequence[str]
    absent: frozenset[str] = frozenset()


class Pause(Exception):
    """Work that waits for services."""

    def __init__(self, services: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(services)))
        self.services = services


async def all_or_none(*work: Awaitable[Any]) -> list[Any]:
    """Awaits all; the first error is raised once the others have ended, so that nothing goes on behind it.

    A `Pause` is raised where there is no other error, for all that is waited for.
    """
    results = await asyncio.gather(*work, return_exceptions=True)
    pauses = [result for result in results if isinstance(result, Pause)]
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Pause):
            raise result
    if pauses:
        raise Pause(frozenset().union(*(pause.services for pause in pauses)))
    return results

"""How a clip waits while services are absent (gpu_phases/)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

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


def raise_first(errors: Sequence[BaseException]) -> NoReturn:
    """Raises the first error that is no pause; one `Pause` for all services waited for if there is none."""
    pauses = [error for error in errors if isinstance(error, Pause)]
    error = next((error for error in errors if not isinstance(error, Pause)), None)
    if error is None:
        error = Pause(frozenset().union(*(pause.services for pause in pauses)))
    try:
        raise error
    finally:  # the error holds this frame: in a circle with it, decoded clips would wait for the garbage collection
        del errors, pauses, error

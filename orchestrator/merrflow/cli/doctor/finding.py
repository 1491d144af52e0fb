"""What a check finds, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from merrflow.cli.doctor.engines import Chosen
from merrflow.cli.nvidia import Driver
from merrflow.core.settings import RunSettings

State = Literal["ok", "note", "missing"]  # note: worth knowing, but the chosen engines work without it


@dataclass(frozen=True)
class Finding:
    """One row of the table."""

    check: str
    state: State
    found: str
    todo: str = ""  # empty if nothing is to be done


@dataclass(frozen=True)
class Situation:
    """What the checks judge by."""

    engines: tuple[Chosen, ...]  # one for each service
    settings: RunSettings
    driver: Driver
    out: Path | None = None
    containers: bool = False  # the services are to run in containers of this machine
    inside: bool = False  # this process is in a container
    seconds: float = 3.0  # longest wait for an answer of the network


Check = Callable[[Situation], Iterable[Finding]]


def unless(is_well: bool, check: str, found: str, todo: str, *, needed: bool = True) -> Finding:
    """A finding that is missing, or a note if it is not `needed`, unless all `is_well`."""
    if is_well:
        return Finding(check, "ok", found)
    return Finding(check, "missing" if needed else "note", found, todo)

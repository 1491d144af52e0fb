"""Which services are on the GPU together, and in which order, from the memory of each and of the card."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from merrflow.core.errors import InputError

GIB = 1 << 30
# For the driver and whatever else is on the card. The CUDA context of each process is part of its own need.
RESERVE = GIB // 2
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": GIB, "T": 1 << 40}


@dataclass(frozen=True)
class Model:
    """What one service needs of the card, in bytes; 0 if it computes on the CPU."""

    service: str
    least: int  # with the smallest batch
    full: int  # with the largest batch
    second: bool = False  # a second engine: it shares no phase with main engines


@dataclass(frozen=True)
class Phase:
    """Services that are on the card together."""

    services: tuple[str, ...]
    bytes: int  # what they take of the card at most

    def __contains__(self, service: object) -> bool:
        return service in self.services


@dataclass(frozen=True)
class Plan:
    """The phases in order. `throughout`: services without a GPU, which are there in every phase."""

    phases: tuple[Phase, ...]
    throughout: tuple[str, ...]
    memory: int  # bytes of the card
    reserve: int = field(default=RESERVE)  # bytes of it that no phase takes

    @property
    def limit(self) -> int:
        """Bytes that a phase may take."""
        return self.memory - self.reserve

    @property
    def on_gpu(self) -> tuple[str, ...]:
        """The services that share the GPU."""
        return tuple(name for phase in self.phases for name in phase.services)


def make_plan(models: Iterable[Model], memory: int, reserve: int = RESERVE) -> Plan:
    """As few phases as the order of `models` allows. memory: bytes of the card.

    Neighbours share a phase if they fit with their largest batches, but no second engine one with a main engine. One
    that fits only with a smaller batch has a phase to itself. Raises `InputError` if one does not fit at all.
    """
    models = tuple(models)
    limit = memory - reserve
    groups: list[list[Model]] = []
    for model in (one for one in models if one.full):
        if model.least > limit:
            raise InputError(
                f"{model.service} needs {gib(model.least)} of GPU memory by itself and there are {gib(limit)} "
                f"({gib(memory)}, less {gib(reserve)} in reserve): give it a smaller model or number format, "
                "or run it on the CPU"
            )
        fits = groups and sum(one.full for one in (*groups[-1], model)) <= limit
        if fits and groups[-1][-1].second == model.second:
            groups[-1].append(model)
        else:
            groups.append([model])
    phases = tuple(
        Phase(tuple(one.service for one in group), min(sum(one.full for one in group), limit)) for group in groups
    )
    throughout = tuple(one.service for one in models if not one.full)
    return Plan(phases or (Phase((), 0),), throughout, memory, reserve)


def parse_memory(text: str) -> int:
    """Bytes from "24GiB", "24G", "24564MiB" (as nvidia-smi reports it) or a plain number of bytes.

    Raises `InputError`.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(I?B)?", text.strip().upper())
    if not match or not float(match[1]):
        raise InputError(f"{text!r} is not an amount of memory: give it as 24GiB or 24564MiB")
    return int(float(match[1]) * _UNITS[match[2]])


def gib(size: int) -> str:
    """ "14.9 GiB" """
    return f"{size / GIB:.1f} GiB"

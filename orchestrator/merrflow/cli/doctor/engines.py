"""Which engine each service has: of a service at an address by asking it, else by the settings of this machine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from merrflow.cli.services import look_at
from merrflow.core.errors import InputError
from merrflow.core.settings import RunSettings
from merrflow_serving.__main__ import load_spec, read_settings
from merrflow_serving.catalog import SERVICES
from merrflow_serving.describe import describe
from merrflow_serving.engine import PlansMemory
from merrflow_serving.errors import MerrflowError
from merrflow_serving.weights.entries import entries, entry
from merrflow_serving.weights.places import Place, WeightSettings


@dataclass(frozen=True)
class Chosen:
    """The engine of a service, and what it needs of this machine."""

    service: str
    engine: str = ""  # "" if it is not known
    address: str = ""  # where the service is; "": a process or container of this machine, which may not run yet
    off: bool = False  # an optional service that nobody asked for
    card: int | None = None  # which of the visible cards it computes on; None: none of this machine
    bytes: int = 0  # of the card's memory, at its largest batch; without its weights being here, of the weights alone
    least: int = 0  # the same at its smallest batch; 0 if that is not known
    weights: tuple[str, ...] = ()  # entries of weights.yaml
    place: WeightSettings = field(default_factory=Place)
    problem: str = ""

    @property
    def is_here(self) -> bool:
        """Whether it is this machine that has to have what it needs."""
        return not (self.address or self.off or self.problem)


def weights_of(service: str, engine: str, model: str, *, real: bool) -> tuple[str, ...]:
    """The entries that an engine loads. model: as its `EngineInfo` names it. real: whether an original model that is
    not named as an entry needs all of them; an embedded engine has its model with it."""
    known = tuple(one.name for one in entries().values() if one.service == service and engine in one.engines)
    if not known:
        return ()
    if model.lower() in known:
        return (model.lower(),)
    return (model,) if "/" in model and " " not in model else known if real else ()


async def choose(given: Mapping[str, str], settings: RunSettings) -> tuple[Chosen, ...]:
    """One for each service of the catalog. given: service -> engine, rather than what the settings say.

    Raises `InputError` for a service that does not exist.
    """
    for name in given:
        if name not in SERVICES:
            raise InputError(f"--engine: there is no service {name!r}; the services are: {', '.join(SERVICES)}")
    return tuple(await asyncio.gather(*(_choose(name, given.get(name), settings) for name in SERVICES)))


async def _choose(name: str, engine: str | None, settings: RunSettings) -> Chosen:
    address = settings.address(name)
    if engine is None and address:
        return await _at_address(name, address, settings)
    if engine is None and SERVICES[name].optional:
        return Chosen(name, off=True)
    try:
        return _here(name, engine)
    except (MerrflowError, ImportError) as error:
        return Chosen(name, engine or "", problem=str(error))


async def _at_address(name: str, address: str, settings: RunSettings) -> Chosen:
    seen = await look_at(name, address, settings)
    problem = next((one["problem"] for one in seen if one.get("problem")), "")
    if not problem and any(one["health"] != "SERVING" for one in seen):
        problem = f"it is not ready yet ({seen[0].get('doing') or 'loading'}); look again with `merrflow services`"
    return Chosen(name, seen[0].get("engine", {}).get("engine", ""), address, problem=problem)


def _here(name: str, engine: str | None) -> Chosen:
    spec = load_spec(name)
    values = read_settings(spec, **({"engine": engine} if engine else {}))
    with redirect_stdout(sys.stderr):  # what a model library prints must not get into JSON
        told = describe(spec, values)
        plans = isinstance(spec.make_engine(values), PlansMemory)
    found = told["engine"]
    weights = weights_of(name, found["engine"], found["model"], real=plans)
    device = getattr(values, "device", "cpu")
    if not plans or device == "cpu":
        return Chosen(name, found["engine"], weights=weights, place=_place(values))
    return Chosen(
        name,
        found["engine"],
        card=int(device.partition(":")[2] or 0),
        bytes=told["need"]["full_bytes"] or sum(entry(one).bytes for one in weights),
        least=told["need"]["least_bytes"],
        weights=weights,
        place=_place(values),
    )


def _place(values: Any) -> WeightSettings:
    """A service without settings for weights has the same folder and hub as the command line."""
    has = all(hasattr(values, name) for name in ("weights", "hub", "models_dir", "offline"))
    found: WeightSettings = values if has else Place()
    return found

"""Engines that other distributions add to a service, found by entry point.

An entry point of the group `merrflow.engines` is named SERVICE.ENGINE, and its value is a class that takes the
service's settings and is an `Engine`:

    [project.entry-points."merrflow.engines"]
    "llama3.echo" = "acme_echo:EchoReasoner"

Nothing of a plug-in is imported unless the settings choose its engine (`MERRFLOW_LLAMA3_ENGINE=echo`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import structlog

from merrflow_serving.catalog import SERVICES
from merrflow_serving.distributions import blamed, points_of, source_of
from merrflow_serving.engine import Engine, Parallel, info_of
from merrflow_serving.errors import EngineFault, InvalidInput, MerrflowError
from merrflow_serving.settings import ServiceSettings

log = structlog.get_logger()
GROUP = "merrflow.engines"
METHODS = ("load", "run", "close", "info")


@dataclass(frozen=True)
class Plugin:
    """One entry point."""

    point: EntryPoint

    @property
    def service(self) -> str:
        return self.point.name.partition(".")[0]

    @property
    def engine(self) -> str:
        return self.point.name.partition(".")[2]

    @property
    def distribution(self) -> str:
        """Its distribution and the version of that, such as "acme-echo 0.1.0"."""
        return source_of(self.point)

    def __str__(self) -> str:
        return f"the engine plug-in {self.point.name} of {self.distribution}"

    def create(self, settings: ServiceSettings) -> Engine[Any, Any]:
        """The engine, not loaded yet. Raises `InvalidInput` naming the plug-in if that fails."""
        log.info("engine of another distribution", plugin=self.point.name, distribution=self.distribution)
        with blamed(f"{self} cannot be imported from {self.point.value!r}", InvalidInput):
            make = self.point.load()
        with blamed(f"{self} cannot be created by {self.point.value!r}", InvalidInput, (MerrflowError,)):
            engine = make(settings)
        if not isinstance(engine, Engine):
            raise InvalidInput(f"{self} is not an engine: {_lacking(engine)}")
        try:
            info_of(engine)
        except EngineFault as fault:
            raise InvalidInput(f"{self} cannot say what it is: {fault}") from fault
        with blamed(f"{self} cannot say how many lanes it has", InvalidInput):
            lanes = engine.lanes if isinstance(engine, Parallel) else 1
        if not isinstance(lanes, int) or lanes < 1:
            raise InvalidInput(f"{self} has {lanes!r} lanes; a whole number from 1 on is wanted")
        return engine


def find(service: str, engine: str, built_in: Collection[str]) -> Plugin | None:
    """The plug-in that adds `engine` to `service`; None if it is one of the `built_in` engines.

    Raises `InvalidInput` if there is no such engine, and if more than one has this name.
    """
    named = [plugin for plugin in of_service(service) if plugin.engine == engine]
    if problem := _clash(named, built_in):
        raise InvalidInput(problem)
    if engine in built_in:
        return None
    if named:
        return named[0]
    others = ", ".join(f"{plugin.engine} ({plugin.distribution})" for plugin in of_service(service))
    parts = [
        f"{service} has no engine {engine!r}; it has: {', '.join(built_in)}",
        *([f"and from plug-ins: {others}"] if others else []),
        *misplaced(),
    ]
    raise InvalidInput("; ".join(parts))


def of_service(service: str) -> list[Plugin]:
    """The plug-ins for a service, by name."""
    return [plugin for plugin in _all() if plugin.service == service and plugin.engine]


def misplaced() -> list[str]:
    """A line for each plug-in that no service can use."""
    found = []
    for plugin in _all():
        if not (plugin.service and plugin.engine):
            found.append(f"{plugin} is not named SERVICE.ENGINE")
        elif plugin.service not in SERVICES:
            found.append(f"{plugin} is for a service that does not exist; the services are: {', '.join(SERVICES)}")
    return found


def problems(service: str, built_in: Collection[str]) -> list[str]:
    """A line for each plug-in that `service` cannot use, or that no service can."""
    found = of_service(service)
    names = dict.fromkeys(plugin.engine for plugin in found)
    clashes = (_clash([plugin for plugin in found if plugin.engine == name], built_in) for name in names)
    return [*misplaced(), *filter(None, clashes)]


def _lacking(engine: object) -> str:
    """Which methods of `Engine` an object does not have."""
    missing = [f"{name}()" for name in METHODS if not callable(getattr(engine, name, None))]
    return f"{type(engine).__name__} has no {' and no '.join(missing)}"


def _clash(named: list[Plugin], built_in: Collection[str]) -> str:
    """What is wrong if these plug-ins, all of one name, cannot be told apart; "" if they can."""
    if named and named[0].engine in built_in:
        return f"{named[0]} has the name of a built-in engine of {named[0].service}; uninstall or rename it"
    if len(named) > 1:
        return f"{named[0]} and that of {named[1].distribution} have the same name; uninstall one of them"
    return ""


def _all() -> list[Plugin]:
    found = [Plugin(point) for point in points_of(GROUP)]
    return sorted(found, key=lambda plugin: (plugin.point.name, plugin.distribution))

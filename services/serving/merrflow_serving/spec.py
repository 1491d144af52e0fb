"""What makes a service different from the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc

from merrflow_serving import plugins
from merrflow_serving.catalog import SERVICES
from merrflow_serving.engine import Engine
from merrflow_serving.settings import ServiceSettings

if TYPE_CHECKING:
    from merrflow_serving.service import Service

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


@dataclass(frozen=True)
class ServiceSpec(Generic[SettingsT]):
    """One service; what the entry point of its distribution, in the group `merrflow.services`, refers to."""

    name: str  # as in the catalog, such as "openface-au"
    version: str
    settings: type[SettingsT]
    engines: Mapping[str, str]  # the built-in ones: name -> "package.module:Class"; the first is the default
    register: Callable[[Service[SettingsT], grpc.aio.Server], None]  # adds the servicer to the server
    warmup: Callable[[], Any]  # an item that exercises the whole engine once
    results: Mapping[type, type]  # of an item -> of what an engine answers to it

    @property
    def proto(self) -> str:
        """The full name of its gRPC service."""
        return SERVICES[self.name].proto

    def make_engine(self, settings: SettingsT) -> Engine[Any, Any]:
        """The engine that the settings name, not loaded yet: a built-in one, or another distribution's.

        Raises `InvalidInput` if there is no engine of that name, if several have it, or if it cannot be created.
        """
        plugin = self.plugin(settings)
        if plugin is not None:
            return plugin.create(settings)
        module, attribute = self.engines[self._engine_name(settings)].split(":")
        make: Callable[[SettingsT], Engine[Any, Any]] = getattr(import_module(module), attribute)
        return make(settings)

    def plugin(self, settings: SettingsT) -> plugins.Plugin | None:
        """What adds the engine that the settings name; None for a built-in one. Raises `InvalidInput` as above."""
        return plugins.find(self.name, self._engine_name(settings), self.engines)

    def _engine_name(self, settings: SettingsT) -> str:
        return settings.engine or next(iter(self.engines))

"""The second engines of a run: which they are, and their services, started or connected."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from merrflow.clients import Identity, identity
from merrflow.clients.second_service import SecondService
from merrflow.core.errors import InputError
from merrflow.core.second_engines import SecondEngine
from merrflow.core.settings import RunSettings
from merrflow.pipeline.embedded_engines import embedded_engine
from merrflow.pipeline.local_services import START_SECONDS, Local, LocalServices
from merrflow.stages.stage import Second
from merrflow_serving.errors import MerrflowError


@dataclass(frozen=True)
class WitnessEngines:
    """Found before it is known whether there is anything to do: those that have an address are connected."""

    engines: tuple[SecondEngine, ...]
    identities: Mapping[str, Identity | None]  # by name; None: it does not answer
    connected: Mapping[str, SecondService] = field(default_factory=dict)

    @classmethod
    async def find(
        cls,
        stack: AsyncExitStack,
        settings: RunSettings,
        main: Mapping[str, Identity],
        planned: Mapping[str, Identity] = MappingProxyType({}),
    ) -> WitnessEngines:
        """main: the identities of the main engines. planned: of second engines that have a GPU phase. Raises
        `InputError` for one that cannot be a witness."""
        engines = settings.second_engines
        for one in engines:
            if one.role not in main:
                raise InputError(
                    f"the witness {one.name} has nothing to answer: {one.role} is not asked in this run"
                    + ("; recognise speech with MERRFLOW_ASR=on" if one.role == "whisper" else "")
                )
        services = {
            one.name: SecondService(_title(one.name), one.role, one.address, settings) for one in engines if one.address
        }
        try:
            identities: dict[str, Identity | None] = {
                one.name: planned.get(one.name) or identity(embedded_engine(one.role, one.what))
                for one in engines
                if not one.address
            }
            await asyncio.gather(*(stack.enter_async_context(service) for service in services.values()))
        except MerrflowError as error:
            raise InputError(str(error)) from error
        for name, service in services.items():
            found = service.connection.info.engine
            identities[name] = identity(found) if found.engine else None
        _check_distinct(engines, identities, main)
        return cls(engines, identities, services)

    async def start(
        self,
        stack: AsyncExitStack,
        settings: RunSettings,
        logs: Path,
        root: Path | None,
        phased: Mapping[str, SecondService] = MappingProxyType({}),
    ) -> dict[str, SecondService]:
        """Starts those without an address. Returns the clients of all but `phased`, which are those of GPU phases.
        logs, root: as for `LocalServices`."""
        rest = [one for one in self.engines if one.name not in (*self.connected, *phased)]
        started = await asyncio.gather(
            *(started_here(stack, settings, logs, root, one.name, Local(one.role, one.what)) for one in rest)
        )
        return {**self.connected, **{one.name: service for one, service in zip(rest, started, strict=True)}}

    def second(self, services: Mapping[str, SecondService]) -> dict[str, Second]:
        """As their stages call them."""
        unknown = {"engine": "", "model": ""}
        return {
            one.name: Second(one.role, self.identities[one.name] or unknown, services[one.name]) for one in self.engines
        }


async def started_here(
    stack: AsyncExitStack,
    settings: RunSettings,
    logs: Path,
    root: Path | None,
    name: str,
    local: Local,
    title: str = "",
) -> SecondService:
    """The client of a service that this process starts. If it does not start, it counts as away. title: what messages
    call it, if it is no witness."""
    process = LocalServices(logs, root, {name: local})
    problem = ""
    try:
        await stack.enter_async_context(process)
    except MerrflowError as error:
        problem = str(error)
    own = settings.for_embedded_services(process.token)
    patience = max(settings.connect_seconds, START_SECONDS)
    own = own.model_copy(update={"send_paths": root is not None, "connect_seconds": patience})
    service = SecondService(title or _title(name), local.role, process.addresses.get(name, ""), own)
    if problem:
        service.give_up(problem)
        return service
    entered: SecondService = await stack.enter_async_context(service)
    return entered


def _title(name: str) -> str:
    return f"the witness {name}"


def _check_distinct(
    engines: tuple[SecondEngine, ...], identities: Mapping[str, Identity | None], main: Mapping[str, Identity]
) -> None:
    """Raises `InputError` if two engines of a role are one and the same: what agrees then is no evidence."""
    seen = {(role, known["engine"], known["model"]): "the main engine" for role, known in main.items()}
    for one in engines:
        known = identities[one.name]
        if known is None:
            continue
        key = (one.role, known["engine"], known["model"])
        if key in seen:
            raise InputError(
                f"the witness {one.name} is the engine {key[1]} with the model {key[2]}, and so is {seen[key]}: a "
                "witness needs another engine or model"
            )
        seen[key] = f"the witness {one.name}"

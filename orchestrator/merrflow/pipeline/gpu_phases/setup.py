"""From a Compose project to a plan, and back to the project as it was found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from merrflow.clients import Identity
from merrflow.core.atomic_files import whole_bytes
from merrflow.core.errors import InputError
from merrflow.core.settings import RunSettings
from merrflow.pipeline.gpu_phases.containers import Containers, Part
from merrflow.pipeline.gpu_phases.described import Described
from merrflow.pipeline.gpu_phases.phases import Fleet, GpuPhases
from merrflow.pipeline.gpu_phases.plan import Plan, gib, make_plan
from merrflow_serving.catalog import NEEDED
from merrflow_serving.errors import MerrflowError

FOUND_FILE = (
    ".containers.json"  # in the output folder: what was running before, in case a run is killed before it restores that
)


class Project(Fleet, Protocol):
    """A compose project; see `containers.Containers`."""

    def replicas(self, service: str) -> int: ...
    def address(self, service: str) -> str: ...
    def describe(self, service: str) -> str: ...


@dataclass(frozen=True)
class Sharing:
    """A planned run: which services share the GPU, and what they reported."""

    plan: Plan
    described: Mapping[str, Described]
    project: Project
    addresses: Mapping[str, str]
    second: Mapping[str, str] = field(default_factory=dict)  # name of a second engine -> its role

    @property
    def identities(self) -> dict[str, Identity]:
        """Of each main engine, as `Services.identities`."""
        return {name: one.identity for name, one in self.described.items() if name not in self.second}

    @property
    def second_identities(self) -> dict[str, Identity]:
        """Of each second engine, by name."""
        return {name: self.described[name].identity for name in self.second}

    @property
    def limits(self) -> dict[str, Identity]:
        """What each service refuses as too large, as `Services.limits`."""
        return {name: one.limits for name, one in self.described.items() if name not in self.second}

    @property
    def largest_batch(self) -> int:
        """Of all services."""
        return max(one.engine.limits.max_batch_size for one in self.described.values())

    @asynccontextmanager
    async def phases(
        self, settings: RunSettings, out: Path, say: Callable[[str], None] = lambda text: None
    ) -> AsyncIterator[GpuPhases]:
        """The run's phases. At the end, the containers are restored as they were found. Raises `InputError`.

        out: the output folder, which meanwhile holds what was running before, in case this run is killed.
        """
        file = out / FOUND_FILE
        found = await asyncio.to_thread(self._found, file)
        known = self.identities | self.second_identities
        phases = GpuPhases(self.plan, self.project, self.addresses, known, settings, say, self.second)
        try:
            yield phases
        finally:
            await phases.close()
            await asyncio.shield(asyncio.to_thread(self._put_back, found, file))

    async def tidy(self, out: Path) -> None:
        """Restores the containers if an earlier run was killed before it did. For a run with nothing to do."""
        file = out / FOUND_FILE
        if file.exists():
            await asyncio.to_thread(self._put_back, await asyncio.to_thread(self._found, file), file)

    def _found(self, file: Path) -> frozenset[str]:
        """What was running before this run, or before an earlier one that was killed."""
        try:
            return frozenset(json.loads(file.read_text())) & frozenset(self.described)
        except (OSError, ValueError, TypeError):
            running = self.project.running()
            whole_bytes(file, json.dumps(sorted(running)).encode())
            return running

    def _put_back(self, found: frozenset[str], file: Path) -> None:
        running = self.project.running()
        self.project.stop(sorted(running - found))
        self.project.start(sorted(found - running))
        file.unlink(missing_ok=True)


async def open_sharing(
    settings: RunSettings,
    needed: Sequence[str] = NEEDED,
    memory: int = 0,
    project: Project | None = None,
) -> Sharing:
    """Asks the services' containers what they need, and plans. memory: bytes of the card; 0 to ask the containers.
    project: instead of the one that is found. Raises `InputError` with what to do."""
    parts = {name: Part(name, name) for name in needed}
    second = {one.name: one.role for one in settings.second_engines if not one.address}
    parts |= {one.name: Part(one.role, one.what) for one in settings.second_engines if one.name in second}
    addresses = settings.addresses(needed)
    try:
        found = project if project else await asyncio.to_thread(_containers, parts)
        texts = await asyncio.gather(*(asyncio.to_thread(found.describe, name) for name in parts))
        described = {
            name: Described.parse(name, text, part.role)
            for (name, part), text in zip(parts.items(), texts, strict=True)
        }
        addresses = addresses or {name: found.address(name) for name in needed}
        addresses |= {name: found.address(name) for name in second}
        models = [one.model(found.replicas(name), second=name in second) for name, one in described.items()]
    except MerrflowError as error:
        raise InputError(str(error)) from error
    plan = make_plan(models, memory or _card(described))
    return Sharing(plan, described, found, addresses, second)


def _containers(parts: Mapping[str, Part]) -> Project:
    return Containers.find(parts)


def _card(described: Mapping[str, Described]) -> int:
    """Bytes of the card that the services see; of several, the smallest. 0 if no service needs one."""
    needing = [one for one in described.values() if one.full]
    blind = [one.service for one in needing if not one.card]
    if blind:
        raise InputError(
            f"{', '.join(blind)} needs {gib(max(one.full for one in needing))} of GPU memory and its container does "
            "not see how much there is: give it as --gpu-memory 24GiB (nvidia-smi shows it)"
        )
    return min((one.card for one in needing), default=0)

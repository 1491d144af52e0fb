"""Sets of engines and models, and which of them fit a machine."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

from merrflow.cli.nvidia import read_driver
from merrflow.core.datafile import Strict, read

GB = 10**9


class Needs(Strict):
    """What a set needs of a machine, in GB."""

    memory: float
    gpu: float
    disk: float


class Choice(Strict):
    """Engine and model of a service."""

    service: str
    engine: str
    weights: str = ""  # an entry of weights.yaml; else `model` and `licence` say what it is
    model: str = ""
    licence: str = ""


class EngineSet(Strict):
    """Engines and models that go together."""

    name: str
    purpose: str
    needs: Needs
    services: tuple[Choice, ...]
    commands: tuple[str, ...]


class Recommended(Strict):
    """recommended.yaml."""

    version: int
    sets: tuple[EngineSet, ...]  # the best first


@dataclass(frozen=True)
class Machine:
    """What a machine has, in bytes."""

    memory: int
    gpu: int  # of its largest card; 0 without one
    disk: int  # that is free where weights go

    def lacks(self, needs: Needs) -> list[str]:
        """What a set needs more of, in words; empty if it fits."""
        words = {"memory": "of memory", "gpu": "on a card", "disk": "of free disk"}
        short = {name: getattr(needs, name) for name in words if getattr(self, name) < getattr(needs, name) * GB}
        return [
            f"{amount:g} GB {words[name]} instead of {getattr(self, name) / GB:.1f}" for name, amount in short.items()
        ]


def this_machine() -> Machine:
    """What this process may use: of several cards the largest, as nvidia-smi reports it."""
    from merrflow_serving.machine import host_memory
    from merrflow_serving.weights.places import Place

    folder = Place().models_dir
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return Machine(
        host_memory().total_bytes,
        max((card.total for card in read_driver().cards), default=0),
        shutil.disk_usage(there).free,
    )


def recommended() -> Recommended:
    """The file of sets."""
    return read(files("merrflow.cli") / "recommended.yaml", Recommended)


def chosen(machine: Machine) -> dict[str, Any]:
    """The first set that fits, with licences; and why each better one does not. If none fits, the smallest."""
    sets = recommended().sets
    misfits = {one.name: lacks for one in sets if (lacks := machine.lacks(one.needs))}
    best = next((one for one in sets if one.name not in misfits), sets[-1])
    better = sets[: sets.index(best)]
    return {
        "machine": asdict(machine),
        "set": best.name,
        "purpose": best.purpose,
        "fits": best.name not in misfits,
        "services": [_described(one) for one in best.services],
        "commands": list(best.commands),
        "better": [{"set": one.name, "purpose": one.purpose, "needs": misfits[one.name]} for one in better],
    }


def _described(one: Choice) -> dict[str, str]:
    from merrflow_serving.weights.entries import entry

    plain = {"service": one.service, "engine": one.engine}
    if not one.weights:
        return plain | {
            "model": one.model,
            "licence": one.licence,
            "outputs": "no clause on outputs",
            "licence_url": "",
        }
    found = entry(one.weights)
    terms = {"licence": found.licence, "outputs": found.outputs, "licence_url": found.licence_url}
    return plain | {"model": found.name} | terms

"""What is where: the entries' state on this machine, for `merrflow models`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merrflow_serving.weights import steps
from merrflow_serving.weights.entries import Entry, entries, entry
from merrflow_serving.weights.locate import folder_of
from merrflow_serving.weights.locate import revision as revision_of
from merrflow_serving.weights.places import WeightSettings
from merrflow_serving.weights.whole import Check, check, wanted_files


@dataclass(frozen=True)
class State:
    """One entry as it lies on this machine."""

    entry: Entry
    folder: Path
    found: Check
    revision: str  # "" where the files are not there
    bytes_here: int
    to_get: tuple[str, ...]  # steps; empty where it is whole

    @property
    def word(self) -> str:
        """present, partial, damaged or absent."""
        if self.found.damaged:
            return "damaged"
        if self.found.whole:
            return "present"
        return "partial" if self.bytes_here else "absent"

    def as_json(self) -> dict[str, Any]:
        """For scripts: stable names, plain values."""
        one = self.entry
        return {
            "name": one.name,
            "service": one.service,
            "engines": list(one.engines),
            "purpose": one.purpose,
            "licence": one.licence,
            "licence_url": one.licence_url,
            "outputs": one.outputs,
            "gated": one.gated,
            "bytes": one.bytes,
            "repositories": {hub: f"{place.id}@{place.revision}" for hub, place in one.repositories.items()},
            "state": self.word,
            "folder": str(self.folder),
            "bytes_here": self.bytes_here,
            "revision": self.revision,
            "missing": list(self.found.missing),
            "damaged": list(self.found.damaged),
            "to_get": list(self.to_get),
            "note": " ".join(one.note.split()),
        }


def look(names: Sequence[str], settings: WeightSettings, *, deep: bool = False) -> list[State]:
    """The state of the named entries (none: all). `deep` reads every file whole. Raises `InvalidInput`."""
    return [_look(entry(name), name, settings, deep) for name in names or entries()]


def _look(one: Entry, name: str, settings: WeightSettings, deep: bool) -> State:
    folder = folder_of(name, settings)
    found = check(one, folder, Path(settings.models_dir), deep=deep)
    here = [path for path in wanted_files(one, folder) if path.is_file()]
    return State(
        entry=one,
        folder=folder,
        found=found,
        revision=revision_of(name, settings) if found.whole else "",
        bytes_here=sum(path.stat().st_size for path in here),
        to_get=() if found.whole else tuple(steps.to_get(one, folder, settings.hub)),
    )

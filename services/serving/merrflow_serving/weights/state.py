"""The entries' state on this machine, for `merrflow models`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merrflow_serving import commands
from merrflow_serving.weights.entries import Entry, entries, entry
from merrflow_serving.weights.files import Check, bytes_of, check, wanted_files
from merrflow_serving.weights.locate import folder_of, revision
from merrflow_serving.weights.messages import steps_to_get
from merrflow_serving.weights.places import WeightSettings


@dataclass(frozen=True)
class State:
    """One entry as it is on this machine."""

    entry: Entry
    folder: Path
    found: Check
    revision: str  # "" if the files are not there
    bytes_here: int
    to_get: tuple[str, ...]  # steps; empty if it is whole

    @property
    def word(self) -> str:
        """present, partial, damaged or absent."""
        if self.found.damaged or self.found.unreadable:
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
            "repositories": {hub: f"{found.id}@{found.revision}" for hub, found in one.repositories.items()},
            "state": self.word,
            "folder": str(self.folder),
            "bytes_here": self.bytes_here,
            "revision": self.revision,
            "missing": list(self.found.missing),
            "damaged": [*self.found.damaged, *self.found.unreadable],
            "to_get": list(self.to_get),
            "note": " ".join(one.note.split()),
        }


def states(names: Sequence[str], settings: WeightSettings, *, deep: bool = False) -> list[State]:
    """The state of the named entries (none: all). `deep` reads every file whole. Raises `InvalidInput`."""
    return [_state(entry(name), name, settings, deep) for name in names or entries()]


def _state(one: Entry, name: str, settings: WeightSettings, deep: bool) -> State:
    folder = folder_of(name, settings)
    found = check(one, folder, settings.models_dir, deep=deep)
    return State(
        entry=one,
        folder=folder,
        found=found,
        revision=revision(name, settings) if found.whole else "",
        bytes_here=bytes_of(wanted_files(one, folder)) if not found.unreadable else 0,
        to_get=_to_get(one, folder, found, settings),
    )


def _to_get(one: Entry, folder: Path, found: Check, settings: WeightSettings) -> tuple[str, ...]:
    """Files that are there and may not be read are not to be downloaded again."""
    if found.whole:
        return ()
    if found.unreadable and not (found.damaged or found.missing):
        return (f"if it is there and this user lacks the right, {commands.readable(folder)}",)
    return tuple(steps_to_get(one, folder, settings.hub))

"""Phrases for Action Units, and the draw among them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from merrflow.core.datafile import DataFileError, Fault, Faults, Strict, read
from merrflow.core.paths import expanded
from merrflow.facs.units import Code

# Control characters would break the tables and JSON lines that such text ends up in.
Line = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Lexicon(Strict):
    """Phrases by Action Unit.

    `errata`: phrases that were published at the wrong unit under one label, for strict exports.
    """

    name: Line
    version: Line
    description: str = ""
    phrases: dict[Code, Annotated[tuple[Line, ...], Field(min_length=1)]]
    errata: dict[str, dict[Code, tuple[Line, ...]]] = {}

    @model_validator(mode="after")
    def _sound(self) -> Lexicon:
        twice = [
            Fault(("phrases", code, place), f"{phrase!r} occurs twice at {code}")
            for code, phrases in self.phrases.items()
            for place, phrase in enumerate(phrases)
            if phrase in phrases[:place]
        ]
        if twice:
            raise Faults(twice)
        return self

    def draw(self, key: str, unit: str) -> str:
        """One phrase for `unit`: the same for the same `key` (a clip's name), on any machine."""
        try:
            phrases = self.phrases[unit]
        except KeyError:
            raise ValueError(f"the lexicon {self.name} {self.version} has no phrase for {unit}") from None
        digest = hashlib.sha256(f"{key}\0{unit}".encode()).digest()
        return phrases[int.from_bytes(digest[:8], "big") % len(phrases)]

    def draw_all(self, key: str, units: Iterable[str]) -> tuple[str, ...]:
        """One phrase for each unit, in order."""
        return tuple(self.draw(key, unit) for unit in units)


def lexicon_path(name: str, folder: Path) -> Path | None:
    """The file that a rule set in `folder` means by `name`; None if `name` is one of the package."""
    return folder / expanded(name) if name.endswith((".yaml", ".yml")) else None


def load_lexicon(name_or_path: str | Path) -> Lexicon:
    """A lexicon of the package ("default", "merr"), or a user's own file. Raises DataFileError."""
    if isinstance(name_or_path, Path):
        return read(name_or_path, Lexicon)
    return _packaged(name_or_path)


@cache
def _packaged(name: str) -> Lexicon:
    folder = files("merrflow.facs")
    names = sorted(
        entry.name.removeprefix("lexicon_").removesuffix(".yaml")
        for entry in folder.iterdir()
        if entry.name.startswith("lexicon_") and entry.name.endswith(".yaml")
    )
    if name not in names:
        raise DataFileError(f"there is no lexicon named {name!r}: choose {' or '.join(names)}, or give a .yaml file")
    return read(folder / f"lexicon_{name}.yaml", Lexicon)

"""Phrases for Action Units, and the draw among them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import Field, StringConstraints

from merrflow.facs.datafile import DataFileError, Strict, read
from merrflow.facs.units import Code

Phrase = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class Lexicon(Strict):
    """Phrases by Action Unit.

    `errata`: phrases that stood at the wrong unit under one label, for strict exports.
    """

    name: str
    version: str
    description: str = ""
    phrases: dict[Code, Annotated[tuple[Phrase, ...], Field(min_length=1)]]
    errata: dict[str, dict[Code, tuple[Phrase, ...]]] = {}

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


@cache
def load_lexicon(name: str) -> Lexicon:
    """A lexicon that comes with the package: "default" or "merr"."""
    path = files("merrflow.facs") / f"lexicon_{name}.yaml"
    if not path.is_file():
        raise DataFileError(f"there is no lexicon named {name!r}")
    return read(path, Lexicon)

"""Which of a clip's clues bear on its label (`data/bearing.yaml`, with sources)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain

from merrflow_llama3 import text
from merrflow_llama3.check_rules import Words, pattern
from merrflow_llama3.datafiles import read_as
from merrflow_llama3.denial import asserted
from merrflow_llama3.lexicon import labels, voice_grounds
from merrflow_llama3.types import Clues
from merrflow_serving.prompt_files import Strict

_WHOLE, _PART = 2, 1  # how much one kind of clue weighs
_ENOUGH = 2  # less shows only faintly


class LabelBearing(Strict):
    """What speaks for one label."""

    face: tuple[tuple[str, ...], ...]  # combinations of Action Units
    voice: Words  # adjectives, whatever they are said of, or whole grounds ("normal voice")
    words: Words


class Bearing(Strict):
    """The whole file."""

    version: str
    units: dict[str, Words]
    labels: dict[str, LabelBearing]
    denials: Words


@dataclass(frozen=True)
class Grounds:
    """The clues that speak for one label, in the words of the clues."""

    face: tuple[str, ...] = ()
    voice: tuple[str, ...] = ()  # "loud voice", "wide pitch range"
    quotes: tuple[str, ...] = ()  # of the subtitle, or of its translation
    weight: int = 0

    @property
    def faint(self) -> bool:
        """Whether they are too little for a conclusion without reserve."""
        return self.weight < _ENOUGH


@cache
def bearing() -> Bearing:
    """The table, read once. Raises `NotReady` that names the wrong entry."""
    return read_as("bearing", Bearing)


def unit_of(expression: str) -> str:
    """The Action Unit that a phrase names; empty if the table knows none."""
    return next((unit for unit, phrases in bearing().units.items() if pattern(phrases).search(expression)), "")


def grounds(clues: Clues, label: str) -> Grounds:
    """What of the prepared clues speaks for a label; nothing for a label that the table does not know."""
    table = bearing().labels.get(label)
    if table is None:
        return Grounds()
    units = {expression: unit_of(expression) for expression in clues.expressions}
    bear = set(chain.from_iterable(table.face))
    face = tuple(expression for expression, unit in units.items() if unit in bear)
    whole = any(set(combination) <= set(units.values()) for combination in table.face)
    voice = tuple(one for one in voice_grounds(clues.tone) if {one, one.split()[0]} & set(table.voice))
    quotes = tuple(quote for quote in text.quotable(clues.translation or clues.subtitle) if _speaks(quote, table.words))
    weights = (_WHOLE if whole else _PART if face else 0, _PART if voice else 0, _WHOLE if quotes else 0)
    return Grounds(face, voice, quotes, sum(weights))


def all_grounds(clues: Clues) -> dict[str, Grounds]:
    """The grounds of the clues' label; without one, of every label that has any."""
    found = {label: grounds(clues, label) for label in ([clues.label] if clues.label else labels())}
    return {label: ground for label, ground in found.items() if ground.weight}


def bearing_clues(clues: Clues) -> Clues:
    """The same clues without expressions and qualities of the voice that speak for nothing. Scene and words stay: they
    say what is seen and said, and are no argument."""
    kept = all_grounds(clues).values()
    expressions, voice = ({one for ground in kept for one in getattr(ground, kind)} for kind in ("face", "voice"))
    heard = [with_article(ground) for ground in voice_grounds(clues.tone) if ground in voice]
    return replace(
        clues,
        expressions=tuple(one for one in clues.expressions if one in expressions),
        other_expressions=(),
        tone=", ".join(heard),
    )


def with_article(ground: str) -> str:
    """ "an agitated voice" for "agitated voice"."""
    return f"{'an' if ground[0] in 'aeiou' else 'a'} {ground}"


def _speaks(quote: str, phrases: Words) -> bool:
    return any(asserted(_said(phrases), quote, bearing().denials, inside=False))


@cache
def _said(phrases: Words) -> re.Pattern[str]:
    """Like `pattern`, with "?" as a mark that must follow."""
    asked = tuple(phrase.rstrip("?") for phrase in phrases if phrase.endswith("?"))
    plain = tuple(phrase for phrase in phrases if not phrase.endswith("?"))
    return re.compile(rf"{pattern(plain).pattern}|(?:^|[.!?,]\s*){pattern(asked).pattern}\?", re.IGNORECASE)

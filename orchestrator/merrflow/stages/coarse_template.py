"""What coarse.yaml holds: the template of the coarse-grained text and the words that decide how a clue fits it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from merrflow.core.datafile import Strict, read


class SceneWords(Strict):
    """Variants for scenes that are not a sentence."""

    person: str
    thing: str


class ExpressionWords(Strict):
    """Variants with and without expressions."""

    some: str
    none: str


class ToneWords(Strict):
    """Variants for tones that are not a sentence."""

    manner: str
    phrase: str
    voice: str
    action: str
    doing: str
    sound: str


class Template(Strict):
    """See coarse.yaml."""

    version: str
    scene: SceneWords
    expressions: ExpressionWords
    tone: ToneWords
    join: str
    subtitle: str
    verbs: str
    relatives: str
    starts: str
    persons: str
    determiners: str
    several: str
    speaks: str
    prepositions: str
    absent: str
    conjunctions: str
    media: str
    pronouns: str
    not_plural: str
    auxiliaries: str
    doings: str
    voices: str
    not_adverbs: str
    lead_words: str
    abbreviations: str


@cache
def load_template() -> Template:
    """The template that comes with the package."""
    return read(files("merrflow.stages") / "coarse.yaml", Template)

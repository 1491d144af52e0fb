"""`data/checks.yaml` as types, and its phrases as regular expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from pydantic import model_validator

from merrflow_llama3.datafiles import read_as
from merrflow_llama3.lexicon import labels
from merrflow_serving.prompt_files import Strict

Words = tuple[str, ...]


class Language(Strict):
    """What sets English apart from other languages."""

    shortest_sentence: int
    longest_without: int
    english: str  # words, separated by spaces
    others: str


class VoiceQuality(Strict):
    """Something a text may say about a voice, and what in the tone clue denies it."""

    quality: str
    says: Words  # next to a word for the voice
    alone: Words  # anywhere
    against: Words


class Expression(Strict):
    """Something a text may say about a face, and what in the clues supports it."""

    claim: str
    says: Words
    told_by: Words


class Feelings(Strict):
    """How a text says what the person feels."""

    who: Words
    feels: Words
    states: Words
    between: Words
    taken_back: Words
    drives: Words
    near: dict[str, Words]
    words: dict[str, Words]

    @model_validator(mode="after")
    def _only_known_labels(self) -> Feelings:
        used = set(self.words) | set(self.near) | {label for near in self.near.values() for label in near}
        if used != set(labels()):
            raise ValueError(f"labels that only one of checks and lexicon knows: {sorted(used ^ set(labels()))}")
        return self


class CheckRules(Strict):
    """The whole file."""

    version: str
    min_words: int
    max_words: int
    max_sentence_words: int
    min_latin_share: float
    max_repeated_words: int
    refusals: Words
    echoes: Words
    headings: Words
    language: Language
    voice_nouns: Words
    voice: tuple[VoiceQuality, ...]
    face: tuple[Expression, ...]
    negations: Words
    feeling: Feelings


@cache
def check_rules() -> CheckRules:
    """The rules, read once. Raises `NotReady` that names the wrong entry."""
    return read_as("checks", CheckRules)


@cache
def pattern(phrases: Words) -> re.Pattern[str]:
    """Matches any of the phrases as whole words: "*" is the rest of a word, or one word; a space may be a hyphen."""
    return re.compile(pattern_source(phrases), re.IGNORECASE)


def pattern_source(phrases: Iterable[str]) -> str:
    """The expression behind `pattern`, to build larger ones from; without phrases, one that matches nothing."""
    written = [
        r"[\s-]+".join(
            r"[\w'-]+" if word == "*" else re.escape(word).replace(r"\*", r"[\w'-]*") for word in one.split()
        )
        for one in sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    ]
    return rf"(?<![\w'-])(?:{'|'.join(written)})(?![\w'-])" if written else r"(?!)"

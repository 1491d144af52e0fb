"""`data/checks.yaml` as types, and its phrases as regular expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from merrflow_llama3.datafiles import read_data
from merrflow_llama3.lexicon import labels
from merrflow_serving.errors import NotReady

Words = tuple[str, ...]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Language(_Part):
    """How English is told from other languages."""

    shortest_sentence: int
    longest_without: int
    english: str  # words, apart by spaces
    others: str


class VoiceQuality(_Part):
    """Something a text may say of a voice, and what of the tone clue denies it."""

    quality: str
    says: Words  # beside a word for the voice
    alone: Words  # anywhere
    against: Words


class FaceClaim(_Part):
    """Something a text may say of a face, and what of the clues tells it."""

    claim: str
    says: Words
    told_by: Words


class FeelingClaims(_Part):
    """How a text says what the person feels."""

    who: Words
    feels: Words
    states: Words
    between: Words
    taken_back: Words
    near: dict[str, Words]
    words: dict[str, Words]

    @model_validator(mode="after")
    def _only_known_labels(self) -> FeelingClaims:
        told = set(self.words) | set(self.near) | {label for near in self.near.values() for label in near}
        if told != set(labels()):
            raise ValueError(f"labels that only one of checks and lexicon knows: {sorted(told ^ set(labels()))}")
        return self


class Rules(_Part):
    """The whole file."""

    version: str
    min_words: int
    max_words: int
    max_sentence_words: int
    min_latin_share: float
    max_repeated_words: int
    refusals: Words
    echoes: Words
    language: Language
    voice_nouns: Words
    voice: tuple[VoiceQuality, ...]
    face: tuple[FaceClaim, ...]
    negations: Words
    feeling: FeelingClaims


@cache
def rules() -> Rules:
    """The rules, read once. Raises `NotReady` with the place where the file is wrong."""
    try:
        return Rules.model_validate(read_data("checks"))
    except ValidationError as error:
        first = error.errors()[0]
        raise NotReady(f"data/checks.yaml: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


@cache
def pattern(phrases: Words) -> re.Pattern[str]:
    """Matches any of the phrases as whole words: "*" is the rest of a word, or one word; a space may be a hyphen."""
    return re.compile(source(phrases), re.IGNORECASE)


def source(phrases: Iterable[str]) -> str:
    """`pattern` as an expression to build on; for no phrases one that matches nothing."""
    written = [
        r"[\s-]+".join(
            r"[\w'-]+" if word == "*" else re.escape(word).replace(r"\*", r"[\w'-]*") for word in one.split()
        )
        for one in sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    ]
    return rf"(?<![\w'-])(?:{'|'.join(written)})(?![\w'-])" if written else r"(?!)"

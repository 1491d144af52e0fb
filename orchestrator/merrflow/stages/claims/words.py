"""What claims.yaml holds, read strictly, and words as the rules compare them."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import Field

from merrflow.core.datafile import Strict, read
from merrflow.facs.units import Code
from merrflow.stages.clue_text import WORD
from merrflow.stages.grounding import load_grounding
from merrflow.stages.language import function_words

QUOTED = re.compile(r"\"[^\"]{1,500}\"|“[^”]{1,500}”")
_ENDINGS = ("ing", "edly", "ed", "es", "ly", "s", "e")
_LEAST_STEM = 3
_PIECE = re.compile(r"[,;:.!?()—–]\s*|\s+(?:and|while|with|but|as|despite|although|though|yet)\s+", re.IGNORECASE)
Words = tuple[str, ...]
Pair = Annotated[tuple[str, ...], Field(min_length=2, max_length=2)]


class ClaimWords(Strict):
    """The whole file."""

    version: str
    generic: str
    voice: Words
    other_than_voice: Words
    feelings: dict[str, Words]
    feeling_words: dict[str, Words]
    near: tuple[Pair, ...]
    opposed_qualities: tuple[Pair, ...]
    face: dict[str, tuple[Code, ...]]
    not_seen: Words
    opposed_units: tuple[Pair, ...]
    concludes: Words
    hedges: Words
    not_of_voice: Words
    women: Words
    men: Words
    she: Words
    he: Words


@cache
def load_claim_words() -> ClaimWords:
    """The words that come with the package."""
    return read(files("merrflow.stages.claims") / "claims.yaml", ClaimWords)


def stem(word: str) -> str:
    """A word without its ending, so that "raised", "raises" and "raise" are one; no linguist's stem."""
    word = word.casefold().replace("’", "'").removesuffix("'s")
    if word.endswith("brow") or word.endswith("brows"):
        return "brow"
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST_STEM:
            word = word[: -len(ending)]
            break
    word = word.removesuffix("e") if len(word) > _LEAST_STEM else word
    return word[:-1] if len(word) > _LEAST_STEM and word[-1] == word[-2] else word


def stems(text: str) -> list[str]:
    """The stems of a text's words, in order."""
    return [stem(part) for word in WORD.findall(text) for part in word.split("-") if part]


def content(text: str) -> frozenset[str]:
    """The stems of the words that claim something."""
    return frozenset(stems(text)) - _generic()


def has(text: str, words: Words) -> re.Match[str] | None:
    """The first of the words; "*" stands for any letters."""
    return _pattern(words).search(text)


def every(text: str, words: Words) -> list[re.Match[str]]:
    """All of the words that the text has, in order."""
    return list(_pattern(words).finditer(text))


def observed(claim: str) -> str:
    """The claim without quotations, and without what it concludes from what is seen and heard."""
    plain = QUOTED.sub(" ", claim)
    end = has(plain, load_claim_words().concludes)
    return plain[: end.start()] if end else plain


def of_voice(claim: str) -> str:
    """What a claim says of the voice, without what it concludes; "" if it says nothing.

    Adjectives go with the noun of their piece of the claim, "fearful" with the tone and "serious" with the face in "his
    serious expression and fearful tone". A piece without a noun goes with the one before it, or else after it.
    """
    seen = observed(claim)
    if not has(seen, load_claim_words().voice):
        return ""
    pieces = [(piece, list(_nouns().finditer(piece))) for piece in _PIECE.split(seen)]
    kept, is_of_voice = [], next(_names_voice(nouns[0]) for _, nouns in pieces if nouns)
    for piece, nouns in pieces:
        start = 0
        for noun in nouns:
            is_of_voice = _names_voice(noun)
            if is_of_voice:
                kept.append(piece[start : noun.end()])
            start = noun.end()
        if is_of_voice:
            kept.append(piece[start:])
    return ", ".join(part for part in map(str.strip, kept) if part)


def denies(text: str) -> bool:
    """Whether a few words have a negation."""
    return bool(has(text, load_grounding().negations)) or "n't" in text.replace("’", "'")


def _names_voice(noun: re.Match[str]) -> bool:
    return noun["voice"] is not None


@cache
def _nouns() -> re.Pattern[str]:
    """The voice, as the group `voice`, or something else with what it is of ("expressions of anger or joy")."""
    words = load_claim_words()
    voice, others = _pattern(words.voice).pattern, _pattern(words.other_than_voice).pattern
    return re.compile(rf"(?P<voice>{voice})|{others}(?:\s+of\s+\w+(?:\s+or\s+\w+)?)?", re.IGNORECASE)


@cache
def _generic() -> frozenset[str]:
    return frozenset(stems(load_claim_words().generic)) | frozenset(map(stem, function_words()["en"]))


@cache
def _pattern(words: Words) -> re.Pattern[str]:
    body = "|".join(re.escape(word).replace(r"\*", r"[^\W\d_]*") for word in sorted(words, key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{body})(?![\w-])", re.IGNORECASE)

"""Which Action Units a text names, by the phrases of the lexicons and the words of claims.yaml."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache

from merrflow.facs import load_lexicon
from merrflow.stages.claims.words import denies, load_claim_words, stems
from merrflow.stages.clue_text import WORD

_LEXICONS = ("default", "merr")
_PIECE = re.compile(r"[,;:.!?]\s*|\s+(?:and|while|with|but|as|or)\s+", re.IGNORECASE)
_SMALL = frozenset(stems("a an the of by their his her at to towards under slightly out very"))


@dataclass(frozen=True)
class UnitMention:
    """One movement that a text names."""

    words: str  # the piece of text
    units: frozenset[str]  # any of them is meant
    denied: bool


def unit_mentions(text: str) -> list[UnitMention]:
    """The movements in order of the pieces of the text; of phrases within another one, only the longer counts."""
    found = []
    for piece in _PIECE.split(text):
        if not piece.strip():
            continue
        said = frozenset(stems(piece))
        matching = [phrase for phrase in _phrases() if phrase <= said]
        longest = [phrase for phrase in matching if not any(phrase < other for other in matching)]
        found += [UnitMention(piece.strip(), _phrases()[phrase], denies(_until(piece, phrase))) for phrase in longest]
    return found


def _until(piece: str, phrase: frozenset[str]) -> str:
    """What comes before the phrase is complete: a negation after it is of something else."""
    missing = set(phrase)
    for word in WORD.finditer(piece):
        missing -= set(stems(word.group()))
        if not missing:
            return piece[: word.start()]
    return piece


@cache
def _phrases() -> dict[frozenset[str], frozenset[str]]:
    """Stems of a phrase -> the units that it may mean."""
    words = load_claim_words()
    skipped = {frozenset(stems(phrase)) - _SMALL for phrase in words.not_seen}
    found: dict[frozenset[str], set[str]] = defaultdict(set)
    for name in _LEXICONS:  # where both have a phrase, the first is right
        known = frozenset(found)
        for code, phrases in load_lexicon(name).phrases.items():
            for phrase in (part for whole in phrases for part in whole.split(",")):
                if (key := frozenset(stems(phrase)) - _SMALL) not in known:
                    found[key].add(code)
    for phrase, codes in words.face.items():
        found[frozenset(stems(phrase)) - _SMALL].update(codes)
    return {phrase: frozenset(codes) for phrase, codes in found.items() if phrase and phrase not in skipped}

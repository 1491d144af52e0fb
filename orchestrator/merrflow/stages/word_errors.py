"""Errors between two writings of the same words: word and character error rate, by edits (Levenshtein 1966)."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

WITHOUT_BLANKS = ("zh", "yue", "ja", "th", "lo", "km", "my")  # ISO 639: words are not apart, so characters are compared


def plain_words(text: str) -> list[str]:
    """The words without case and stops, which people and engines set as they like. Accents and vowel signs stay."""
    found = unicodedata.normalize("NFKC", text).casefold()
    return "".join(one if _is_kept(one) else "" if one in "'’" else " " for one in found).split()


def error_rate(said: Sequence[str], heard: Sequence[str]) -> float | None:
    """Edits from `said` to `heard` over the length of `said`: of words, or of the characters of a text. Above 1 if more
    is heard than said; None if nothing is said."""
    return Levenshtein.distance(said, heard) / len(said) if said else None


def _is_kept(one: str) -> bool:
    return one.isalnum() or unicodedata.category(one).startswith("M")

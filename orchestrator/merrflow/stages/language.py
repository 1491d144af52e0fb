"""Which language a subtitle is in: by its script (Unicode names), and Latin script by function words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache
from pathlib import Path

import yaml

# First word of a letter's Unicode name -> language. Han and Latin need a closer look.
SCRIPTS = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CYRILLIC": "ru",
    "GREEK": "el",
    "ARABIC": "ar",
    "HEBREW": "he",
    "THAI": "th",
    "DEVANAGARI": "hi",
    "CJK": "zh",
    "LATIN": "latin",
}
_KANA_SHARE = 0.1  # Japanese always carries kana; Chinese never does


def scripts(text: str) -> Counter[str]:
    """How many letters of each script a text has, by the languages of `SCRIPTS`."""
    counts: Counter[str] = Counter()
    for character in text:
        if character.isalpha():
            name = unicodedata.name(character.translate(_WIDE), "").split(" ")[0].split("-")[0]
            if name in SCRIPTS:
                counts[SCRIPTS[name]] += 1
    return counts


_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}  # full-width Latin to plain Latin


@cache
def function_words() -> dict[str, frozenset[str]]:
    """Language -> frequent words of its spoken form."""
    data = yaml.safe_load(Path(__file__).with_name("function_words.yaml").read_text(encoding="utf-8"))
    return {language: frozenset(words.split()) for language, words in data["words"].items()}


def language(text: str) -> str:
    """ISO 639-1 code of a short text, or "" if it cannot be told."""
    counts = scripts(text)
    if not counts:
        return ""
    if counts["ja"] >= _KANA_SHARE * counts.total():
        return "ja"
    best = counts.most_common(1)[0][0]
    # A Han character says about as much as a word of four letters.
    if counts["latin"] and counts["zh"] * 4 >= counts["latin"]:
        best = "zh"
    return best if best != "latin" else _latin(text)


def _latin(text: str) -> str:
    straight = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", straight)
    votes = {name: sum(word in known for word in words) for name, known in function_words().items()}
    most = max(votes.values())
    winners = [name for name, count in votes.items() if count == most]
    if most and len(winners) == 1:
        return winners[0]
    return "en" if "en" in winners and most else ""

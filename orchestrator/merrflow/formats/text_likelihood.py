"""How likely a text is in a language, by its letters: what chooses among the readings of bytes (text_encodings.py).

Costs are negative log-likelihoods in nats, of what is no ASCII sign, blank or digit. They are rough, and need only be
so: letters of the right encoding cost 2 to 4 nats each, those of a wrong one 7 and more, and these add up.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from typing import Protocol

_MARKS = "\u0591-\u05c7\u064b-\u0652\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"  # vowels and tones of Hebrew, Arabic, Thai
_WORD = re.compile(rf"[^\W\d_][^\W\d_{_MARKS}]*(?:[{_MARKS}][^\W\d_]*)*")
_SIGN = re.compile(r"[^\w\s]|[\x00-\x08\x0b\x0c\x0e-\x1f_]|[^\W\d\x00-\x7f]|(?![0-9])\d")
_SIGNS = "’‘“”–—…«»¿¡„‚№ºª°€£♪\xa0‹›،؟؛"
_WIDE_SIGNS = "，。！？、：；“”‘’…—「」『』（）《》～・　"
_CONTROL = 12.0  # of a control character, which no subtitle has
_ASCII_LETTER = 3.2  # as in a language with Latin letters
_OPENING = "«“„‘‹¿¡"
_CLOSING = "”…"


class Language(Protocol):
    """A language that texts are weighed by."""

    def cost(self, text: str) -> float:
        """Nats."""
        ...


class Alphabet:
    """A language with letters."""

    def __init__(self, letters: str, others: str, words: Collection[str]) -> None:
        """letters: the most frequent first. others: that occur. words: in lower case, frequent ones."""
        weights = {letter: 1 / (place + 3) for place, letter in enumerate(letters)}
        total = sum(weights.values())
        self._chances = dict.fromkeys(others, 0.0025) | {one: 0.96 * share / total for one, share in weights.items()}
        self._latin = "a" in letters
        self._words = words
        self._cost_of = lru_cache(maxsize=10_000)(self._word)

    def cost(self, text: str) -> float:
        """Of its words and signs."""
        total = 0.0
        for word in _WORD.finditer(text):
            before = text[: word.start()].rstrip(' -–—\t"“«‘¿¡')[-1:]
            total += self._cost_of(word.group(), not before or before in "\n.!?…>;:")
        return total + _signs(text, self._chances)

    def _word(self, word: str, begins: bool) -> float:
        """begins: a sentence, so that a capital is likely."""
        if word.isascii() and not self._latin:  # a name, or a tag
            return 2.5 + _ASCII_LETTER * len(word)
        lower = word.lower()
        known = lower in self._words
        total = 5.0 if known else 0.0
        for place, (letter, small) in enumerate(zip(word, lower, strict=False)):
            chance = self._chances.get(small, 1e-5)
            if letter.isascii() and not self._latin:
                chance = 1e-4
            case = 1.0
            if letter != small:
                before = word[place - 1] if place else ""
                case = (0.7 if begins else 0.1) if not place else 0.005 if before.islower() else 0.3
            elif not place and begins:
                case = 0.3
            total -= math.log(case if known else case * chance)
        return total


class Characters:
    """Chinese ("zh"), traditional Chinese ("zt"), Japanese ("ja") or Korean ("ko")."""

    def __init__(self, name: str, frequent: Mapping[str, str]) -> None:
        """frequent: characters, the most frequent first, of each of the three and of `hiragana` and so on."""
        self._spaced = name == "ko"
        self._other = _LEVELS[name]
        shares = {"hiragana": 0.5, "katakana": 0.12, "kanji": 0.15} if name == "ja" else {name: 0.5}
        parts = [(frequent[letters], share) for letters, share in shares.items()]
        self._chances = {one: chance for letters, share in parts for one, chance in _zipf(letters, share)}

    def cost(self, text: str) -> float:
        """Of its characters; each is a word."""
        total, before = 0.0, ""
        for one in text:
            beside = before > "\x7f" and before.isalpha()
            if one.isascii():
                if one.isalpha():
                    total += _ASCII_LETTER + (0 if before.isascii() and before.isalpha() else 1.5) + 3 * beside
                elif one == " " and not self._spaced:
                    total += beside
                elif one < " " and one not in "\r\n\t":
                    total += _CONTROL
            elif one in _WIDE_SIGNS:
                total += 3.5
            elif one in _SIGNS:
                total += 7.0
            else:
                total -= math.log(self._chances.get(one) or self._other(one))
            before = one
        return total


def _signs(text: str, chances: Mapping[str, float]) -> float:
    """Of what is beyond ASCII and part of no word: quotation marks in their places, and signs that no text has."""
    total = 0.0
    for found in _SIGN.finditer(text):
        one = found.group()
        if one.isascii():
            total += _CONTROL if one != "_" and not one.isprintable() else 0.0
            continue
        before, after = text[found.start() - 1 : found.start()], text[found.end() : found.end() + 1]
        is_mark = unicodedata.category(one) in ("Mn", "Mc")
        if one.isalpha() or (is_mark and one in chances and before > "\x7f" and not before.isspace()):
            continue  # part of a word
        touches = before.isalpha() or after.isalpha()
        chance = 0.01 if one in _SIGNS else 1e-7 if touches else 1e-5
        if is_mark and before.isalpha() and _script(one) == _script(before):
            chance = 0.01
        elif one == "’":
            chance = 0.02 if before.isalpha() else 0.002
        elif before.isalpha() and after.isalpha():
            chance *= 0.02
        elif (one in _OPENING and before.isalpha()) or (one in _CLOSING and after.isalpha()):
            chance *= 0.05
        total -= math.log(chance)
        if not one.isprintable() and one not in "\u200c\u200d\xa0\u3000":
            total += 8.0
    return total


def _script(one: str) -> str:
    return unicodedata.name(one, "?").split()[0]


def _zipf(letters: str, share: float) -> Iterator[tuple[str, float]]:
    weights = [1 / (place + 5) for place in range(len(letters))]
    return zip(letters, (share * weight / sum(weights) for weight in weights), strict=True)


def _lead(one: str, encoding: str) -> int:
    """The first byte of a character's two in a national standard, which is ordered by use; 0 if it is not in it."""
    try:
        data = one.encode(encoding)
    except UnicodeEncodeError:
        return 0
    return data[0] if len(data) == 2 else 1


def _chinese(one: str) -> float:
    lead = _lead(one, "gb2312")  # 0xB0 to 0xD7: level 1, the 3,755 commonest; the other 3,008 are level 2
    if not lead:
        return 1e-7 if "\u4e00" <= one <= "\u9fff" else 1e-9
    return 0.4 / 3755 if 0xB0 <= lead <= 0xD7 else 0.01 / 3008 if lead >= 0xD8 else 1e-6


def _traditional(one: str) -> float:
    lead = _lead(one, "big5")  # 0xA4 to 0xC6: level 1, 5,401 characters
    return 1e-8 if not lead else 0.4 / 5401 if 0xA4 <= lead <= 0xC6 else 0.005 / 7652 if lead >= 0xC9 else 1e-6


def _japanese(one: str) -> float:
    lead = _lead(one, "euc_jp")  # 0xA4, 0xA5: kana; from 0xB0: kanji of level 1, from 0xD0 of level 2
    if lead in (0xA4, 0xA5):
        return 0.02 / 90
    return 1e-8 if not lead else 0.15 / 2965 if 0xB0 <= lead < 0xD0 else 0.005 / 3390 if lead >= 0xD0 else 1e-6


def _korean(one: str) -> float:
    lead = _lead(one, "euc_kr")  # 0xB0 to 0xC8: the 2,350 syllables of KS X 1001
    return 0.5 / 2350 if 0xB0 <= lead <= 0xC8 else 1e-6 if lead else 1e-7 if "\uac00" <= one <= "\ud7a3" else 1e-9


_LEVELS: Mapping[str, Callable[[str], float]] = {
    "zh": _chinese,
    "zt": _traditional,
    "ja": _japanese,
    "ko": _korean,
}

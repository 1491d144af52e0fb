"""Finds in a tone sentence the words that claim something of the voice, and which of them are denied."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_lowercase

from merrflow.stages.grounding_rules import GroundingRules

# Text in quotation marks is what is said, not how: 'speaks calmly: "Stop shouting!"'.
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|「[^」]*」|『[^』]*』|«[^»]*»|(?<!\w)[‘'](?!\s)[^‘’']+[’'](?!\w)")
_BREAK = r"[,;:.!?()\n—–]"
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_IGNORED = ""
_LONGEST = 4000  # characters that are read: what is longer is no sentence on a tone
_REACH = 200  # characters that a negation or a doubt reaches at most, so that long texts stay quick


@dataclass(frozen=True)
class Mention:
    """One claim's words as they are in the sentence."""

    words: str
    quality: str
    denied: bool
    doubted: bool = False


def mentions(text: str, rules: GroundingRules) -> list[Mention]:
    """The claims in order. Of phrases that overlap, the one that starts first counts, then the longest."""
    text = text[:_LONGEST]
    finder = _finder(rules)
    plain = _QUOTED.sub(lambda quoted: "," + " " * (len(quoted.group()) - 1), text.replace("’", "'"))
    found: list[tuple[int, int, str]] = []
    at = 0
    while match := finder.phrases.search(plain, at):
        start = match.start()
        end, quality = max(
            (own.end(), name)
            for pattern, name in finder.beginning(plain[start])
            if (own := pattern.match(plain, start))
        )
        found.append((start, end, quality))
        at = end
    taken = [(start, end) for start, end, _ in found]
    free = [match for match in finder.negations.finditer(plain) if not _overlaps(match, taken)]
    negations = [match.end() for match in free if not finder.no_negations.match(plain, match.start())]
    doubts = [match.end() for match in finder.doubts.finditer(plain) if not _overlaps(match, taken)]

    def governed(cues: list[int], start: int) -> bool:
        """Whether one of the cues, given by their ends, comes before in the same clause and near enough."""
        return any(
            not finder.breaks.search(plain, end, start) and len(_WORD.findall(plain, end, start)) < rules.negation_reach
            for end in cues[bisect_left(cues, start - _REACH) : bisect_right(cues, start)]
        )

    negatable = {quality.name: quality.negatable for quality in rules.qualities}
    result = []
    for start, end, quality in found:
        if quality == _IGNORED:
            continue
        denied = governed(negations, start)
        if denied and not negatable[quality]:
            continue
        result.append(Mention(" ".join(text[start:end].split()), quality, denied, governed(doubts, start)))
    return result


def _overlaps(match: re.Match[str], taken: list[tuple[int, int]]) -> bool:
    """Whether it shares a character with one of the stretches, which ascend and do not overlap each other."""
    place = bisect_left(taken, match.end(), key=lambda stretch: stretch[0])
    return place > 0 and taken[place - 1][1] > match.start()


@dataclass(frozen=True)
class _Finder:
    phrases: re.Pattern[str]  # any phrase
    each: tuple[tuple[re.Pattern[str], str], ...]  # phrase -> quality
    each_by_letter: Mapping[str, tuple[tuple[re.Pattern[str], str], ...]]  # those that may begin with a letter a to z
    negations: re.Pattern[str]
    no_negations: re.Pattern[str]
    doubts: re.Pattern[str]
    breaks: re.Pattern[str]

    def beginning(self, letter: str) -> tuple[tuple[re.Pattern[str], str], ...]:
        """The phrases that may begin with a letter, and with letters beyond a to z all of them."""
        return self.each_by_letter.get(letter.lower(), self.each)


def _finder(rules: GroundingRules) -> _Finder:
    owners = [(phrase, _IGNORED) for phrase in rules.ignored]
    owners += [(phrase, quality.name) for quality in rules.qualities for phrase in quality.phrases]
    return _compiled(tuple(owners), rules.negations, rules.no_negations, rules.doubts, rules.breaks)


@lru_cache(maxsize=4)
def _compiled(
    owners: tuple[tuple[str, str], ...],
    negations: tuple[str, ...],
    no_negations: tuple[str, ...],
    doubts: tuple[str, ...],
    breaks: tuple[str, ...],
) -> _Finder:
    each = [(phrase.lower(), _any_of([phrase]), name) for phrase, name in owners]
    return _Finder(
        phrases=_any_of(phrase for phrase, _ in owners),
        each=tuple((pattern, name) for _, pattern, name in each),
        each_by_letter={
            letter: tuple((pattern, name) for phrase, pattern, name in each if _may_begin(phrase, letter))
            for letter in ascii_lowercase
        },
        negations=re.compile(rf"{_any_of(negations).pattern}|n't\b", re.IGNORECASE),
        no_negations=_any_of(no_negations),
        doubts=_any_of(doubts),
        breaks=re.compile(rf"{_BREAK}|{_any_of(breaks).pattern}", re.IGNORECASE),
    )


def _may_begin(phrase: str, letter: str) -> bool:
    first = phrase[0]
    return first == letter or not first.isascii() or not first.isalpha()


def _any_of(phrases: Iterable[str]) -> re.Pattern[str]:
    """Whole words; "*" after letters is more letters, and alone it is one word of any kind."""
    patterns = [r"\s+".join(map(_word, phrase.split())) for phrase in phrases]
    patterns.sort(key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(patterns)})(?![\w-])", re.IGNORECASE)


def _word(word: str) -> str:
    return r"[^\W\d_']+" if word == "*" else re.escape(word).replace(r"\*", r"[^\W\d_]*")

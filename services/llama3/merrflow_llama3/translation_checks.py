"""Is an answer a translation? Pure functions; each returns the reason why it is not, or None.

They see the source, its language and the answer, never the model, so they apply to any engine. Whether the meaning is
right they cannot say: they catch what is certainly no translation.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from merrflow_llama3 import text as texts
from merrflow_llama3.check_rules import pattern
from merrflow_llama3.language import foreign_sentence
from merrflow_llama3.translation_rules import translation_rules

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
# The units of a text whose repetition counts: words, and the single letters of scripts without spaces.
_UNIT = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]|[^\W_\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]+")
_LONGEST_PERIOD = 12  # units
_MOST_UNITS = 2000  # of an answer whose repetitions are looked for
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_SCALES = {100: "hundred", 1000: "thousand", 1_000_000: "million"}


@dataclass(frozen=True)
class Attempt:
    """What a check sees."""

    text: str  # on one line
    source: str  # as the model read it
    prompt: str  # the rest of what the model read: system prompt and question, without the source
    cut: bool = False  # by the token limit


def cut_off(attempt: Attempt) -> str | None:
    """The token limit ended it."""
    return "cut by the token limit" if attempt.cut else None


def empty(attempt: Attempt) -> str | None:
    """No word at all."""
    return None if _WORD.search(attempt.text) else "the answer is empty"


def refusal(attempt: Attempt) -> str | None:
    """The model declines instead of translating."""
    found = pattern(translation_rules().refusals).search(texts.straight_quotes(attempt.text))
    return f'the model declined ("{found.group(0)}")' if found else None


def talk(attempt: Attempt) -> str | None:
    """It speaks of the translation, or marks it up."""
    rules = translation_rules()
    plain = texts.straight_quotes(attempt.text).lower()
    for mark in rules.marks:
        if mark in plain and mark not in attempt.source:
            return f'holds "{mark}"'
    found = pattern(rules.talk).search(plain)
    if found is None:
        found = re.match(rf"\W*(?:{'|'.join(map(re.escape, rules.starts))})\s*:", plain)
    return f'speaks of the translation ("{found.group(0).strip()}")' if found else None


def script(attempt: Attempt) -> str | None:
    """Letters that are not Latin, or a sentence in another language: the source was left as it is, in whole or part."""
    share = texts.latin_share(attempt.text)
    if share < translation_rules().min_latin_share:
        return f"only {share:.0%} of its letters are Latin"
    return foreign_sentence(re.split(r"(?<=[.!?])\s+", attempt.text))


def unchanged(attempt: Attempt) -> str | None:
    """The source, word for word."""
    same = _WORD.findall(attempt.text.casefold()) == _WORD.findall(attempt.source.casefold())
    return "the answer is the source, unchanged" if same else None


def echo(attempt: Attempt) -> str | None:
    """A long run of the prompt's own words."""
    width = translation_rules().prompt_words
    asked, said = _WORD.findall(attempt.prompt.lower()), " ".join(_WORD.findall(attempt.text.lower()))
    for start in range(len(asked) - width + 1):
        if " ".join(asked[start : start + width]) in said:
            return "repeats the prompt"
    return None


def length(attempt: Attempt) -> str | None:
    """Far more or far fewer letters than the source comes to."""
    rules = translation_rules()
    expected, letters = weight(attempt.source), sum(map(str.isalnum, attempt.text))
    if letters > rules.most_letters * expected + rules.spare:
        return f"{letters} letters for a source that comes to {expected:.0f}"
    if expected >= rules.short and letters < rules.least_letters * expected:
        return f"only {letters} letters for a source that comes to {expected:.0f}"
    return None


def repetition(attempt: Attempt) -> str | None:
    """A run of words that comes again and again, beyond what the source repeats."""
    rules = translation_rules()
    words = [unit.lower() for unit in _UNIT.findall(attempt.text)[:_MOST_UNITS]]
    source: int | None = None
    for period, times in _loops(words):
        if times > (rules.most_repeats if period <= rules.few_words else 1):
            if source is None:
                said = [unit.lower() for unit in _UNIT.findall(attempt.source)[:_MOST_UNITS]]
                source = max((times for _, times in _loops(said)), default=1)
            if times > source:
                return f"{period} word{'s' if period > 1 else ''} come {times} times in a row"
    return None


def numbers(attempt: Attempt) -> str | None:
    """A number in digits that the translation does not have, neither in digits nor in words."""
    said = unicodedata.normalize("NFKC", attempt.text).lower()
    words = set(re.findall(r"[a-z]+", said))
    digits = {_digits(part) for found in _NUMBER.findall(said) for part in (found, *found.split(":"))}  # of times
    source = unicodedata.normalize("NFKC", attempt.source)
    for match in _NUMBER.finditer(source):
        number = _digits(match.group(0))
        if number not in digits and not _in_words(number, source[match.end() : match.end() + 1], digits, words):
            return f"the number {match.group(0)} is missing"
    return None


def weight(source: str) -> float:
    """How many English letters a source comes to, roughly."""
    weights, total = translation_rules().weights, 0.0
    for character in unicodedata.normalize("NFKC", source):
        if character.isalnum():
            name = unicodedata.name(character, "")
            if name.startswith("CJK"):
                total += weights.han
            elif name.startswith(("HIRAGANA", "KATAKANA")):
                total += weights.kana
            else:
                total += weights.hangul if name.startswith("HANGUL") else weights.other
    return total


def _loops(units: list[str]) -> Iterator[tuple[int, int]]:
    """Period and times of each run that repeats at once, at least twice. In time that is linear in the units."""
    for period in range(1, min(_LONGEST_PERIOD, len(units) // 2) + 1):
        same = 0  # units in a row that equal the one a period before
        for before, unit in zip(units, units[period:], strict=False):
            if before == unit:
                same += 1
                continue
            if same >= period:
                yield period, same // period + 1
            same = 0
        if same >= period:
            yield period, same // period + 1


def _digits(number: str) -> str:
    """Without what separates thousands: "30,000" and "30.000" become "30000"; "3.50" and "5:30" stay."""
    parts = re.split(r"[.,]", number)
    grouped = len(parts) > 1 and all(len(part) == 3 for part in parts[1:]) and 0 < len(parts[0]) <= 3
    return "".join(parts) if grouped else number.replace(",", ".")


def _in_words(number: str, after: str, digits: set[str], words: set[str]) -> bool:
    """Whether it is there in words, as a month, or as a part of a larger number. after: what follows it in the
    source."""
    if not number.isdecimal():  # decimals, times: each part
        return all(part in digits or _in_words(part, "", digits, words) for part in re.split(r"[.:]", number))
    rules, value = translation_rules(), int(number[:15])
    if after and after in rules.month_marks and 1 <= value <= 12 and rules.months[value - 1] in words:
        return True
    scale = rules.units.get(after, 1) if after else 1
    whole = value * scale
    if str(whole) in digits or any(one in digits or one + "s" in words for one in (number.lstrip("0"), number)):
        return True
    names = _names(whole)
    return (bool(names) and all(name in words for name in names)) or _as_ordinal(whole, words)


def _as_ordinal(value: int, words: set[str]) -> bool:
    ordinals = translation_rules().ordinals
    return 1 <= value <= len(ordinals) and ordinals[value - 1] in words


def _names(value: int) -> list[str]:
    """The English words for a number below a milliard, without "and"; empty beyond."""
    ones, tens = translation_rules().ones, translation_rules().tens
    if value < 20:
        return [ones[value]]
    if value < 100:
        return [tens[value // 10 - 2], *([ones[value % 10]] if value % 10 else [])]
    for scale, above in pairwise((*_SCALES, 10**9)):
        if value < above:
            return [*_names(value // scale), _SCALES[scale], *(_names(value % scale) if value % scale else [])]
    return []


CHECKS: tuple[Callable[[Attempt], str | None], ...] = (
    refusal, cut_off, empty, talk, script, unchanged, echo, length, repetition, numbers,
)  # fmt: skip


def failures(attempt: Attempt) -> tuple[str, ...]:
    """Why the answer is no translation; empty if it passes."""
    return tuple(reason for check in CHECKS if (reason := check(attempt)) is not None)


def tidied(answer: str, source: str) -> str:
    """The answer on one line, without quotation marks around it that the source does not have."""
    line = texts.one_line(answer)
    for opening, closing in ('""', "\u201c\u201d", "\u2018\u2019", "''"):
        inner = line[1:-1]
        if len(line) > 1 and (line[0], line[-1]) == (opening, closing) and not {opening, closing} & set(inner):
            return line if source[:1] in "\"'\u201c\u2018\u300c\u300e" else inner.strip()
    return line

"""Does an answer pass as a description? Pure functions; each returns the reason why it fails, or None.

They see the text, the prepared clues and the question, never the model, so they apply to any engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from merrflow_llama3 import faithfulness, inventions, reflection
from merrflow_llama3 import text as texts
from merrflow_llama3.check_rules import check_rules
from merrflow_llama3.language import foreign_sentence
from merrflow_llama3.lexicon import label_words
from merrflow_llama3.types import Clues

_END = re.compile(r"[.!?][\"')]*$")
_SENTENCE = re.compile(r"[^.!?]+(?:[.!?]+[\"')]*|\Z)")  # with the end, so that a text without marks is read once
_NAME = re.compile(r"(?<=[a-z,;:] )[A-Z][a-z]+")
_NUMBER = re.compile(r"\d+")
# "again and again" is English; "the brows and the brows" is not.
_DOUBLED = re.compile(
    r"\b(?!(?:again|over|on|more|round|up|down|through|by|less)\b)(\w[\w' -]{0,100}?\w),? and (?:the |a |an )?\1\b",
    re.IGNORECASE,
)
_MARKDOWN = re.compile(r"\n|\*\*|__|^\s*(?:[-*#•]|\d+[.)])\s")
_LIST_MARK = re.compile(r"^(?:[-*#•]+|\d+[.)])\s+(?=\S)")
_QUOTE = re.compile(r'"[^"]*"')
_EXPRESSION = "*"  # takes the place of an expression, however many words it has
_COPIED_LETTERS = 4
_ECHO_WORDS = 12  # a run of the question's words as long as this is an echo; quoting the subtitle is not


@dataclass(frozen=True)
class Answer:
    """What a check sees."""

    text: str
    clues: Clues  # prepared (`CluePrompt.prepare`)
    question: str
    cut: bool = False  # by the token limit
    every_clue: bool = True  # whether the prompt asks to take up every clue


def refusal(answer: Answer) -> str | None:
    """The model declines instead of answering: one of its first two sentences begins with a known phrase."""
    plain = answer.text.replace("’", "'").lower()
    for sentence in sentences(_QUOTE.sub('""', plain))[:2]:
        for phrase in check_rules().refusals:
            if re.match(rf"(?:hello[,!.]?\s*)?{re.escape(phrase)}\b", sentence.strip()):
                return f'the model declined ("{phrase}")'
    return None


def cut_off(answer: Answer) -> str | None:
    """The text stops in the middle: at the token limit, or without an end mark."""
    if answer.cut:
        return "cut by the token limit"
    return None if _END.search(answer.text) else "the last sentence is not complete"


def length(answer: Answer) -> str | None:
    """Too few or too many words."""
    count = len(answer.text.split())
    if count < check_rules().min_words:
        return f"only {count} words"
    return f"{count} words" if count > check_rules().max_words else None


def run_on(answer: Answer) -> str | None:
    """A sentence that does not end; what it quotes does not count."""
    longest = max((len(sentence.split()) for sentence in _unquoted(answer)), default=0)
    return f"a sentence of {longest} words" if longest > check_rules().max_sentence_words else None


def english(answer: Answer) -> str | None:
    """Letters of another script, or the small words of another language; quotations, and what is said in the clip, may
    be in any language."""
    plain = texts.without_words_of(_QUOTE.sub("", texts.straight_quotes(answer.text)), answer.clues.subtitle)
    share = texts.latin_share(plain)
    if not texts.words(plain):
        return "not English"
    if share < check_rules().min_latin_share:
        return f"only {share:.0%} of the letters are Latin"
    return foreign_sentence(_unquoted(answer))


def repetition(answer: Answer) -> str | None:
    """A sentence, or a long run of words, that occurs twice; "the brows and the brows".

    An expression may occur twice in its own words: as what is seen, and as the reason for what is felt.
    """
    found = [" ".join(texts.words(sentence)) for sentence in sentences(answer.text)]
    if len(set(found)) < len(found):
        return "a sentence comes twice"
    doubled = _DOUBLED.search(_QUOTE.sub('""', answer.text))
    if doubled:
        return f'"{doubled.group(0)}"'
    width = check_rules().max_repeated_words
    said = f" {' '.join(texts.words(_QUOTE.sub('', answer.text)))} "
    for expression in answer.clues.expressions:
        said = said.replace(f" {' '.join(texts.words(expression))} ", f" {_EXPRESSION} ")
    stream = said.split()
    runs = [tuple(stream[i : i + width]) for i in range(len(stream) - width + 1)]
    return None if len(set(runs)) == len(runs) else f"{width} words in a row come twice"


def echo(answer: Answer) -> str | None:
    """The prompt's frame, or a long part of the question, is repeated in the answer."""
    lower = answer.text.lower()
    for trace in (*check_rules().echoes, *([f"emotion: {answer.clues.label}"] if answer.clues.label else ())):
        if trace in lower:
            return f'holds "{trace}" of the prompt'
    for sentence in _unquoted(answer):
        if heading := re.match(rf"(?:{'|'.join(check_rules().headings)})\s*:", sentence, re.IGNORECASE):
            return f'holds "{heading.group(0)}" of the prompt'
    clues = " ".join(texts.words(f"{answer.clues.scene} {answer.clues.tone} {' '.join(answer.clues.expressions)}"))
    frame = answer.question
    for clue in filter(None, (answer.clues.scene, answer.clues.subtitle, answer.clues.translation)):
        frame = frame.replace(clue, "\n")
    said = " ".join(texts.words(answer.text))
    for asked in map(texts.words, frame.splitlines()):
        for start in range(len(asked) - _ECHO_WORDS + 1):
            run = " ".join(asked[start : start + _ECHO_WORDS])
            if run in said and run not in clues:  # clues may be repeated in their own words
                return "repeats the question"
    return None


def form(answer: Answer) -> str | None:
    """A list, a heading, emphasis or a line break where one paragraph was asked for."""
    found = _MARKDOWN.search(_QUOTE.sub('""', answer.text.strip()))
    return f"not one plain paragraph: {found.group(0)!r}" if found else None


def repaired(text: str) -> str:
    """The text without what does no harm: one list mark at its start, emphasis, line breaks, quotation marks around it.

    A list of several points stays as it is, for `form` to find.
    """
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    marked = [line for line in lines if _LIST_MARK.match(line)]
    if len(marked) > 1 or (marked and not _LIST_MARK.match(lines[0])):
        return text.strip()
    plain = _LIST_MARK.sub("", " ".join(lines))
    plain = re.sub(r"\*\*|__", "", plain).strip()
    inner = texts.straight_quotes(plain)[1:-1]
    if len(plain) > 1 and texts.straight_quotes(plain) == f'"{inner}"' and '"' not in inner:
        plain = plain[1:-1].strip()
    return plain


def negated(answer: Answer) -> str | None:
    """The label's own feeling is denied, or another feeling is named as what moves the person."""
    return faithfulness.negated_label(_unquoted(answer), answer.clues.label)


def label(answer: Answer) -> str | None:
    """Neither the label nor a synonym is named; without a label, no feeling at all.

    A word that is copied from a clue with the word before or after it ("his angry tone") says nothing of the person.
    """
    beginnings, clues = label_words(answer.clues.label).named_by, answer.clues
    copied = {
        pair
        for clue in (clues.scene, clues.tone, *clues.expressions, *clues.other_expressions)
        for pair in pairwise(texts.words(clue))
        if min(map(len, pair)) >= _COPIED_LETTERS  # "a neutral" is no copy
    }
    said = texts.words(_QUOTE.sub("", answer.text))
    for before, word, after in zip(["", *said], said, [*said[1:], ""], strict=False):
        if word.startswith(beginnings) and not {(before, word), (word, after)} & copied:
            return None
    return f'does not name "{answer.clues.label}"' if answer.clues.label else "names no feeling"


def invention(answer: Answer) -> str | None:
    """A name (a capital inside a sentence), a number or a quotation that no clue contains."""
    clues = answer.clues
    known = " ".join((clues.scene, clues.tone, clues.subtitle, clues.translation, clues.label, *clues.expressions))
    foreign = _is_foreign(clues.subtitle)  # then names, numbers and what is quoted may be a translation
    plain = _QUOTE.sub('""', answer.text)
    if foreign and not clues.translation:
        return None
    for found in _NAME.findall(plain) + _NUMBER.findall(plain):
        if found.lower() not in known.lower():
            return f'"{found}" is in no clue'
    heard = " ".join(texts.words(known))
    for quote in _QUOTE.findall(answer.text):
        if " ".join(texts.words(quote)) not in heard:
            return f"{quote} is in no clue"
    return None


def thing(answer: Answer) -> str | None:
    """A person, an object or an event that no clue names."""
    return inventions.unnamed_thing(_unquoted(answer), answer.clues, foreign=_is_untranslated(answer.clues))


def sex(answer: Answer) -> str | None:
    """A woman where the clues speak of men alone, or a man where they speak of women."""
    return inventions.other_sex(_unquoted(answer), answer.clues)


def ignored(answer: Answer) -> str | None:
    """A clue that the answer passes over, if the prompt asks for every clue."""
    if not answer.every_clue:
        return None
    said = texts.straight_quotes(answer.text)
    return reflection.ignored_clue(said, answer.clues, foreign=_is_untranslated(answer.clues))


def _is_untranslated(clues: Clues) -> bool:
    return not clues.translation and _is_foreign(clues.subtitle)


def _is_foreign(subtitle: str) -> bool:
    return texts.latin_share(subtitle) < 1.0 or foreign_sentence([subtitle]) is not None


def voice(answer: Answer) -> str | None:
    """A quality of the voice that the tone clue denies."""
    return faithfulness.denied_voice(_unquoted(answer), answer.clues)


def face(answer: Answer) -> str | None:
    """An expression that no clue mentions."""
    return faithfulness.unmentioned_expression(_unquoted(answer), answer.clues)


def feeling(answer: Answer) -> str | None:
    """A feeling other than the label's, said to be the person's."""
    return faithfulness.other_feeling(_unquoted(answer), answer.clues.label)


def _unquoted(answer: Answer) -> list[str]:
    plain = texts.straight_quotes(answer.text)
    return [_QUOTE.sub('""', sentence) for sentence in sentences(plain)]


CHECKS: tuple[Callable[[Answer], str | None], ...] = (
    refusal, cut_off, length, run_on, english, repetition, echo, label, invention, voice, face, feeling, form, negated,
    thing, sex, ignored,
)  # fmt: skip


def failures(answer: Answer) -> tuple[str, ...]:
    """Why the answer fails; empty if it passes. `refusal` and `cut_off` come first."""
    return tuple(reason for check in CHECKS if (reason := check(answer)) is not None)


def sentences(text: str) -> list[str]:
    """The sentences of a text; end marks inside quotation marks do not end one. The last may have none."""
    # Marks inside a quotation are hidden while cutting, so that a quoted question stays in its sentence.
    masked = _QUOTE.sub(lambda match: re.sub(r"[.!?]", "\0", match.group(0)), text)
    found, end = [], 0
    for match in _SENTENCE.finditer(masked):
        found.append(text[match.start() : match.end()].strip())
        end = match.end()
    rest = text[end:].strip()
    return [sentence for sentence in [*found, rest] if sentence]

"""Clue text is data: put on one line, freed of control tokens, and cut into what can be quoted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from merrflow_llama3.datafiles import read_data

_WORD = re.compile(r"[a-z]+(?:[-'’][a-z]+)*")
_MARKUP = frozenset("<>|{}[]\\`#*")  # nobody says them
_LONGEST_QUOTE = 14  # words; a longer sentence is quoted by its beginning
_LONGEST_RUN = 40  # characters without a space, as in Chinese
_CUT_QUOTE = 10  # words of it, if no comma says where to stop
_STRAIGHT = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
CUT_MARK = " ..."
_MOST_QUOTES = 4


def one_line(text: str) -> str:
    """The text on one line: NFC, runs of white space as one space, control and format characters gone.

    Line breaks structure a prompt, so a clue must not hold any; invisible characters do not belong in one.
    """
    text = unicodedata.normalize("NFC", text)
    if not text.isprintable():
        text = "".join(
            " " if character.isspace() else character
            for character in text
            if character.isspace() or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")
        )
    return " ".join(text.split())


def straight_quotes(text: str) -> str:
    """Typographic quotation marks and apostrophes as ASCII ones."""
    return text.translate(_STRAIGHT)


def neutralise(text: str, control_tokens: Iterable[str]) -> str:
    """The text with every control token of the model's vocabulary broken by a space after its first character.

    llama.cpp turns the spelling of a control token into the token wherever it occurs, so a subtitle could otherwise
    end its turn and open another. The result reads the same for a person, and is plain text.
    """
    # Some vocabularies list runs of spaces too. They are harmless, and a space put into one would only make another.
    bare = {token.strip() for token in control_tokens}
    tokens = sorted((token for token in bare if len(token) > 1), key=len, reverse=True)
    found = True
    while found:  # breaking one may complete another
        found = False
        for token in tokens:
            if token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
                found = True
    return text


def words(text: str) -> list[str]:
    """The English words of a text, in lower case."""
    return _WORD.findall(text.lower())


def latin_share(text: str) -> float:
    """Share of Latin letters without their accents among all letters, 0 to 1; 1 if there are no letters."""
    letters = [character for character in text if character.isalpha()]
    latin = sum(unicodedata.name(character, "").startswith("LATIN") for character in letters)
    return latin / len(letters) if letters else 1.0


def without_words_of(text: str, said: str) -> str:
    """The text without runs in other scripts that are copied from what is said, quoted or not."""
    heard = "".join(filter(str.isalpha, said))
    runs = re.finditer(r"[^\W\d_a-zA-Z]+", text)
    copied = {run.group(0) for run in runs if latin_share(run.group(0)) < 1.0 and run.group(0) in heard}
    for run in sorted(copied, key=len, reverse=True):
        text = text.replace(run, "")
    return text


def quotable(text: str) -> tuple[str, ...]:
    """The sentences of a subtitle that may be quoted, in any language: without marks of markup.

    One of more than 14 words, or 40 characters without a space, is quoted by its beginning and only if no whole one can
    be. Empty if nothing is said.
    """
    whole: list[str] = []
    cut: list[str] = []
    for sentence in re.findall(r"[^.!?。！？…]+[.!?。！？]*", text):
        sentence = " ".join(sentence.split()).strip(" \"'-,;:").replace('"', "'")
        if not any(map(str.isalpha, sentence)) or _MARKUP & set(sentence):
            continue
        if len(sentence.split()) <= _LONGEST_QUOTE and max(map(len, sentence.split())) <= _LONGEST_RUN:
            whole.append(sentence)
        else:
            cut.append(_beginning(sentence))
    chosen = [quote for quote in whole if len(words(quote)) != 1] or cut or whole
    return tuple(dict.fromkeys(chosen))[:_MOST_QUOTES]


def _beginning(sentence: str) -> str:
    parts = sentence.split()
    if max(map(len, parts)) > _LONGEST_RUN:
        return sentence[:_LONGEST_RUN].rstrip() + CUT_MARK
    for stop in range(_LONGEST_QUOTE, 2, -1):
        if parts[stop - 1].endswith((",", ";")):
            return " ".join(parts[:stop]).rstrip(",;")
    return " ".join(parts[:_CUT_QUOTE]).rstrip(",;:.-") + CUT_MARK


@cache
def _phrases() -> dict[str, str]:
    phrases: dict[str, str] = read_data("phrases")["phrases"]
    return phrases


def plain_expression(phrase: str) -> str:
    """An expression as a noun phrase in lower case: "Brow Lowerer" becomes "lowered brows".

    Phrases that `data/phrases.yaml` does not know stay as they are.
    """
    phrase = phrase.strip(" .,;").lower()
    return _phrases().get(phrase, phrase)


def tone_sentence(tone: str) -> str:
    """The tone as a sentence of its own: "and her tone sounds calm." becomes "Her tone sounds calm."."""
    tone = tone_phrase(tone)
    if re.match(r"(speaks|does|in|with|is|sounds)\b", tone):
        tone = f"the person {tone}"
    return f"{tone[:1].upper()}{tone[1:]}." if tone else ""


def tone_phrase(tone: str) -> str:
    """The tone as part of a sentence: no leading "and", no full stop."""
    return re.sub(r"^and\s+", "", tone.strip(), flags=re.IGNORECASE).rstrip(" .")


def tone_joined(tone: str) -> str:
    """The tone as a further part of a sentence: "The voice is loud" becomes "and the voice is loud"."""
    tone = tone_phrase(tone)
    return f"and {re.sub('^(The|There|Somebody|A|Her|His|It)(?= )', lambda found: found.group(0).lower(), tone)}"


def sentence(text: str) -> str:
    """The text with a full stop, if it has no end mark."""
    return text if not text or text[-1] in ".!?\"'" else f"{text}."

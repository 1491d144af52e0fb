"""Turns what models write as clues into one line of plain text: without markup, lists, lead-ins, paragraphs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

STOPS = ".!?…。！？"
CLOSERS = "\"'”’»)]」』）"
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_BULLET = re.compile(r"^\s*(?:[-*•·–]|\d{1,2}[.)])\s+")
_WORD_LENGTH = 40  # characters looked at before a stop, for an abbreviation
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9]*(?:\s[^<>]*)?/?>")
_MARKUP = (  # of bounded lengths: without, "[[[[" takes quadratic time
    (re.compile(r"!?\[([^\[\]\n]{0,300})\]\([^()\s]{0,300}\)"), r"\1"),
    (re.compile(r"\*\*+"), ""),
    (re.compile(r"(?<!\w)__(?=\S)(.{1,300}?)(?<=\S)__(?!\w)"), r"\1"),
    (re.compile(r"(?<![\w*])[*_](?=[^\s*_])([^*_\n]+?)(?<=\S)[*_](?![\w*])"), r"\1"),
    (re.compile(r"`+"), ""),
)
_HEADING = re.compile(r"^\s{0,3}(?:#{1,6}|>+)\s+")
_STOP = re.compile(rf"(?<=[{STOPS}])[{re.escape(CLOSERS)}]*\s+(?=\S)|(?<=[。！？])(?=[^\s{STOPS}{re.escape(CLOSERS)}])")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f]")


def tidy(
    text: str | None, lead_words: Collection[str], abbreviations: Collection[str], is_sentence: Callable[[str], bool]
) -> tuple[str, bool]:
    """The clue as one line, "" without any word; and whether it is a list of things.

    Markup goes, and what only introduces ("Sure! Here is a description:", "**Tone:**", "# Scene"). Lines that are
    bullets become a list in words, or sentences if they are such; paragraphs become sentences.
    """
    lines = [_plain(line) for line in _unquoted(_TAG.sub(" ", text or "")).splitlines()]
    lines = _without_lead(lines, lead_words)
    filled = [line for line in lines if line.strip()]
    first = next((place for place, line in enumerate(filled) if _BULLET.match(line)), None)
    bulleted = first is not None and all(_BULLET.match(line) for line in filled[first:])
    if bulleted and len(filled) > 1:
        items = [" ".join(_BULLET.sub("", line).split()) for line in filled[first:]]
        lead = " ".join(" ".join(filled[:first]).split())
        one = _joined(lead, items, is_sentence)
        listed = not lead and not any(is_sentence(item) for item in items)
    else:
        apart = "\n".join("\n" + _BULLET.sub("", line) if _BULLET.match(line) else line for line in lines)
        paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", apart)]
        paragraphs = [part for part in paragraphs if part]
        one = " ".join([ended(part) for part in paragraphs[:-1]] + paragraphs[-1:])
        listed = False
    one = _unquoted(one).lstrip(",;: ")
    if not any(character.isalnum() for character in one):
        return "", False
    core = one.rstrip(STOPS + ",;: ")
    run = one[len(core) :]
    if len(run) > 1 and not _abbreviated(one.split()[-1], abbreviations):
        one = core + next((mark for mark in run if mark in STOPS), "")
    return one, listed


def sentences(text: str, abbreviations: Collection[str]) -> list[str]:
    """One line, cut after its stops; not after "Mr." or "U.S.", nor if a sentence goes on in lower case after
    dots or a quotation ('"Stop!" he says')."""
    parts, at = [], 0
    for match in _STOP.finditer(text):
        before = text[max(at, match.start() - _WORD_LENGTH) : match.start()]
        goes_on = text[match.end()].islower() and (match.group().strip() or not re.search(r"[^.!?…][.!?]$", before))
        if before.strip() and not goes_on and not _abbreviated(before.split()[-1], abbreviations):
            parts.append(text[at : match.end()].rstrip())
            at = match.end()
    return [*parts, text[at:]]


def _abbreviated(word: str, abbreviations: Collection[str]) -> bool:
    word = word.lstrip("(\"'“‘[").casefold()
    return (word.rstrip(".") in abbreviations and word.endswith(".")) or bool(re.fullmatch(r"(?:[^\W\d_]\.)+", word))


def opened(text: str) -> str:
    """Without stops, commas and the like at its end, to be used inside a sentence."""
    return text.rstrip(STOPS + ",;: ")


def ended(text: str) -> str:
    """With a stop at its end, of the text's own script."""
    core = text.rstrip(CLOSERS)
    if core.endswith(tuple(STOPS)):
        return text
    text = text.rstrip(",;: ")
    return text + ("。" if text and _CJK.match(text[-1]) else ".")


def listed(items: list[str]) -> str:
    """ "a, b, and c"; with semicolons if an item has commas."""
    if len(items) < 2:
        return "".join(items)
    comma = "; " if any("," in item for item in items) else ", "
    last = f"{comma}and " if len(items) > 2 or comma == "; " else " and "
    return comma.join(items[:-1]) + last + items[-1]


def _unquoted(text: str) -> str:
    """Without quotation marks around the whole."""
    text = text.strip()
    whole = len(text) > 1 and (text[0], text[-1]) in {('"', '"'), ("“", "”")}
    return text[1:-1].strip() if whole and not set(text[1:-1]) & set('"“”') else text


def _plain(line: str) -> str:
    line = _HEADING.sub("", line)
    for pattern, kept in _MARKUP:
        line = pattern.sub(kept, line)
    return line


def _without_lead(lines: list[str], lead_words: Collection[str]) -> list[str]:
    """Drops a first line, or what comes before a colon in it, that only introduces; never the whole clue."""
    place = next((place for place, line in enumerate(lines) if line.strip()), None)
    if place is None:
        return lines
    before, colon, after = lines[place].partition(":")
    rest = [after, *lines[place + 1 :]]
    words = [word.casefold().replace("’", "'") for word in WORD.findall(before)]
    alone = not colon and bool(lines[place + 1 :]) and len(words) <= 3
    introduces = bool(words) and not re.search(r"\d", before) and all(word in lead_words for word in words)
    if introduces and (colon or alone) and any(character.isalnum() for line in rest for character in line):
        return rest
    return lines


def _joined(lead: str, items: list[str], is_sentence: Callable[[str], bool]) -> str:
    if any(is_sentence(item) for item in items):
        return " ".join(ended(part) for part in (opened(lead), *items) if part)
    joined = listed([opened(item) for item in items if opened(item)])
    if not lead:
        return joined
    return f"{opened(lead)} {joined}" if is_sentence(opened(lead)) else f"{opened(lead)}: {joined}"

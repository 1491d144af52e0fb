"""Joins the clues into the coarse-grained text by the published template, made grammatical."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from merrflow.facs.datafile import Strict, read
from merrflow.types import Label, Scene, Subtitle, Tone

_STOPS = ".!?…。！？"
_CLOSERS = "\"'”’»)]」』）"
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_BULLET = re.compile(r"^\s*(?:[-*•·]|\d{1,2}[.)])\s+")


class SceneWords(Strict):
    """Variants for scenes that are no sentence."""

    person: str
    thing: str


class ExpressionWords(Strict):
    """Variants with and without expressions."""

    some: str
    none: str


class ToneWords(Strict):
    """Variants for tones that are no sentence."""

    manner: str
    phrase: str
    action: str
    sound: str


class Template(Strict):
    """See coarse.yaml."""

    version: str
    scene: SceneWords
    expressions: ExpressionWords
    tone: ToneWords
    join: str
    subtitle: str
    verbs: str
    relatives: str
    starts: str
    persons: str
    determiners: str
    several: str
    speaks: str
    prepositions: str
    absent: str


@cache
def load_template() -> Template:
    """The template that comes with the package."""
    return read(files("merrflow.stages") / "coarse.yaml", Template)


def caption(
    label: Label,
    scene: Scene | None,
    tone: Tone | None,
    subtitle: Subtitle | None,
    template: Template | None = None,
) -> str:
    """The coarse-grained text of a record.

    A clue that is missing leaves no trace in it; why it is missing stands in the record.
    """
    return compose(
        scene=scene.text if scene else None,
        expressions=label.expressions,
        tone=tone.text if tone else None,
        subtitle=subtitle.text if subtitle else None,
        voiced=tone is None or tone.content == "speech",
        template=template,
    )


def compose(
    scene: str | None,
    expressions: Sequence[str] | None,
    tone: str | None,
    subtitle: str | None,
    voiced: bool = True,
    template: Template | None = None,
) -> str:
    """The clues in one paragraph.

    Clues that are sentences stay sentences; phrases fill the template's slots. Whitespace is collapsed, lists
    become one line, and doubled stops at a clue's end are dropped; otherwise every clue's words are kept. The
    subtitle is left as it is, in whatever language. `expressions`: None where unknown, empty where the face
    shows none. `voiced`: whether the tone is of speech.
    """
    template = template or load_template()
    sentences = []
    if scene_text := _tidy(scene):
        sentences.append(_scene(scene_text, _is_list(scene), template))

    shown = None if expressions is None else _expressions(expressions, template)
    heard, joins = "", False
    if tone_text := _tidy(tone):
        heard, joins = _tone(tone_text, voiced, template)
    if shown and heard and joins:
        sentences.append(f"{shown}{template.join}{heard.removeprefix('and ')}")
    else:
        sentences += [part for part in (shown, heard) if part]

    parts = [_ended(_raised(sentence)) for sentence in sentences]
    if spoken := " ".join((subtitle or "").split()):
        parts.append(_fill(template.subtitle, spoken))
    return " ".join(parts)


def _scene(text: str, listed: bool, template: Template) -> str:
    if not listed and _is_sentence(text, template):
        return text
    clue = _open(text)
    words = [word.casefold() for word in _WORD.findall(clue)]
    first = words[0] if words else ""
    early = set(words[:6])
    if listed or early & _set(template.several):
        describes_person = False
    elif first in _set(template.starts) or (first.endswith("ing") and len(first) > 5):
        describes_person = True
    else:
        describes_person = first in {"a", "an", "the", "one"} and bool(early & _set(template.persons))
    return _fill(template.scene.person if describes_person else template.scene.thing, _lowered(clue, words, template))


def _expressions(phrases: Sequence[str], template: Template) -> str:
    tidy = [_open(phrase) for phrase in (_tidy(phrase) for phrase in phrases) if phrase]
    distinct = list(dict.fromkeys(_lower_first(phrase) for phrase in tidy if phrase))
    if not distinct:
        return template.expressions.none
    return _fill(template.expressions.some, _listed(distinct))


def _tone(text: str, voiced: bool, template: Template) -> tuple[str, bool]:
    """The tone in the template's words, and whether it can be joined to the sentence before."""
    words = [word.casefold() for word in _WORD.findall(text)]
    first = words[0] if words else ""
    several = _several_sentences(text)
    if first == "and" and not several:  # "and her tone sounds negative", as in the published records
        return _lower_first(_open(text)), True
    if first in _set(template.speaks) and not several:
        return _fill(template.tone.action, _lower_first(_open(text))), True
    if _is_sentence(text, template):
        return text, False
    clue = _lower_first(_open(text))
    if not voiced or first in _set(template.absent):
        return _fill(template.tone.sound, clue), False
    if first in _set(template.prepositions):
        return _fill(template.tone.phrase, clue), True
    return _fill(template.tone.manner, clue), True


def _is_sentence(text: str, template: Template) -> bool:
    if _several_sentences(text) or not re.search("[A-Za-z]", text):
        return True
    before = ""
    for word in (found.casefold().replace("’", "'") for found in _WORD.findall(text)):
        if word in _set(template.verbs) and before not in _set(template.relatives):
            return True
        before = word
    return False


def _several_sentences(text: str) -> bool:
    return re.search(rf"[{_STOPS}][{re.escape(_CLOSERS)}]*\s+\S|[。！？]\S", text) is not None


def _is_list(text: str | None) -> bool:
    lines = [line for line in (text or "").splitlines() if line.strip()]
    return len(lines) > 1 and all(_BULLET.match(line) for line in lines)


def _tidy(text: str | None) -> str:
    """One line: bullets become a list in words, a run of stops at the end one stop; "" without any word."""
    lines = [line for line in (text or "").splitlines() if line.strip()]
    if _is_list(text):
        items = [_open(" ".join(_BULLET.sub("", line).split())) for line in lines]
        lines = [_listed([item for item in items if item])]
    elif lines and _BULLET.match(lines[0]) and len(lines) == 1:
        lines = [_BULLET.sub("", lines[0])]
    one = " ".join(" ".join(lines).split())
    if len(one) > 1 and (one[0], one[-1]) in {('"', '"'), ("“", "”")} and not set(one[1:-1]) & set('"“”'):
        one = one[1:-1].strip()
    if not any(character.isalnum() for character in one):
        return ""
    run = re.search(rf"[{_STOPS}\s,;:]+$", one)
    if run and len(run.group()) > 1:
        stop = next((mark for mark in run.group() if mark in _STOPS), "")
        one = one[: run.start()] + stop
    return one


def _open(text: str) -> str:
    """Without stops, commas and the like at its end, to stand inside a sentence."""
    return text.rstrip(_STOPS + ",;: ")


def _ended(text: str) -> str:
    core = text.rstrip(_CLOSERS)
    return text if core.endswith(tuple(_STOPS)) else text.rstrip(",;: ") + "."


def _raised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower_first(text: str) -> str:
    """With a small first letter, unless the first word is "I" or an abbreviation."""
    word = re.match(r"\w+(?:['’]\w+)?", text)
    if word is None or word.group()[:2] in {"I", "I'", "I’"}:
        return text
    rest = word.group()[1:]
    return text if rest and not rest.islower() else text[:1].lower() + text[1:]


def _lowered(text: str, words: Sequence[str], template: Template) -> str:
    """Lowers the first letter only of words that are surely no name."""
    first = words[0] if words else ""
    sure = first in _set(template.determiners) or first in _set(template.starts) or first.endswith("ing")
    return _lower_first(text) if sure else text


def _listed(items: Sequence[str]) -> str:
    if len(items) < 2:
        return "".join(items)
    comma = "; " if any("," in item for item in items) else ", "
    last = f"{comma}and " if len(items) > 2 or comma == "; " else " and "
    return comma.join(items[:-1]) + last + items[-1]


def _fill(pattern: str, clue: str) -> str:
    # not str.format: clues may hold braces
    return pattern.replace("{clue}", clue)


@cache
def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())

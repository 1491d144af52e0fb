"""Joins the clues into the coarse-grained text by the published template, made grammatical."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from merrflow.core.labels import Label
from merrflow.core.spoken import Subtitle
from merrflow.core.texts import Scene, Tone
from merrflow.stages.clue_text import WORD, ended, listed, opened, sentences, tidy
from merrflow.stages.coarse_template import Template, load_template
from merrflow.stages.stage import Stage
from merrflow.stages.subtitle_en import in_english

_A_BEFORE_VOWEL = re.compile(r"\b([Aa])(?= (?!one\b|once\b|eu|ew)[aeio])")


def caption(
    label: Label,
    scene: Scene | None,
    tone: Tone | None,
    subtitle: Subtitle | None,
    template: Template | None = None,
) -> str:
    """The coarse-grained text of a record.

    A clue that is missing leaves no trace in it; the record says why it is missing.
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

    Clues that are sentences stay sentences; phrases fill the template's slots, also if sentences follow them.
    Markup, what only introduces ("Here is the description:") and doubled stops are dropped, lists become one line, and
    a missing article is put in; otherwise every clue's words are kept. The subtitle is left as it is, in whatever
    language. `expressions`: None if unknown, empty if the face shows none. `voiced`: whether the tone is of speech.
    """
    template = template or load_template()
    clauses = []
    scene_text, is_list = _tidy(scene, template)
    if scene_text:
        clauses.append(_scene(scene_text, is_list, template))

    shown = None if expressions is None else _expressions(expressions, template)
    heard, joins = "", False
    tone_text, _ = _tidy(tone, template)
    if tone_text:
        heard, joins = _tone(tone_text, voiced, template)
    if shown and heard and joins:
        clauses.append(f"{shown}{template.join}{heard.removeprefix('and ')}")
    else:
        clauses += [part for part in (shown, heard) if part]

    parts = [ended(_raised(sentence)) for sentence in clauses]
    if spoken := " ".join((subtitle or "").split()):
        parts.append(_fill(template.subtitle, spoken))
    return " ".join(parts)


def _scene(text: str, is_list: bool, template: Template) -> str:
    first, rest = _first(text, template)
    if not is_list and is_sentence(first, template):
        return _with_rest(first, rest)
    clue = opened(first)
    words = [word.casefold() for word in WORD.findall(clue)]
    start = words[0] if words else ""
    early = set(words[:6])
    if is_list or early & _set(template.several):
        describes_person = False
    elif start in _set(template.starts) or (start.endswith("ing") and len(start) > 5):
        describes_person = True
    elif bare := _missing_article(words, template):
        clue, describes_person = f"{bare} {_lower_first(clue)}", True
    else:
        describes_person = start in {"a", "an", "the", "one"} and bool(early & _set(template.persons))
    pattern = template.scene.person if describes_person else template.scene.thing
    return _with_rest(_fill(pattern, _lowered(clue, words, template)), rest)


def _missing_article(words: Sequence[str], template: Template) -> str:
    """ "a" or "an" for "man in a coat" and "young woman", else ""."""
    for word in words[:3]:
        if word in _set(template.persons):
            return "an" if words[0][0] in "aeio" else "a"
        if word in _set(template.determiners) or word in _set(template.prepositions) or word == "and":
            break
    return ""


def _expressions(phrases: Sequence[str], template: Template) -> str:
    tidied = [_untitled(opened(phrase)) for phrase in (_tidy(phrase, template)[0] for phrase in phrases) if phrase]
    distinct = list(dict.fromkeys(_lower_first(phrase) for phrase in tidied if phrase))
    if not distinct:
        return template.expressions.none
    return _fill(template.expressions.some, listed(distinct))


def _tone(text: str, voiced: bool, template: Template) -> tuple[str, bool]:
    """The tone in the template's words, and whether it can be joined to the sentence before."""
    first, rest = _first(text, template)
    clue = _lower_first(opened(first))
    pattern = _tone_pattern(clue, first, voiced, template)
    if pattern is None:
        return _with_rest(first, rest), False
    if pattern == template.tone.voice and not set(clue.split()[:1]) & _set(template.determiners):
        clue = f"{'an' if clue[0] in 'aeio' else 'a'} {clue}"
    filled = _fill(pattern, _A_BEFORE_VOWEL.sub(r"\1n", clue))
    return _with_rest(filled, rest), pattern != template.tone.sound


def _tone_pattern(clue: str, first: str, voiced: bool, template: Template) -> str | None:
    """The slot that the clue fits, None if it is a sentence."""
    words = [word.casefold().replace("’", "'") for word in WORD.findall(clue)]
    start = words[0] if words else ""
    if start == "and":  # "and her tone sounds negative", as in the published records
        return "{clue}"
    if start in _set(template.speaks) | _set(template.auxiliaries):
        return template.tone.action
    if is_sentence(first, template):
        return None
    if not voiced or start in _set(template.absent) or (words and words[-1] in _set(template.absent)):
        return template.tone.sound
    if start in _set(template.prepositions):
        return template.tone.phrase
    if start in _set(template.doings):
        return template.tone.doing
    if start.endswith("ly") and len(start) > 4 and start not in _set(template.not_adverbs):
        return template.tone.phrase
    return template.tone.voice if _set(template.voices) & set(words) else template.tone.manner


def is_sentence(text: str, template: Template) -> bool:
    """Whether it has a verb that is not within a clause of its own; text in another script is taken for one."""
    if not re.search("[A-Za-z]", text):
        return True
    words = [found.casefold().replace("’", "'") for found in WORD.findall(text)]
    if len(words) > 3 and words[0] == "in" and words[1] in {"the", "this"} and words[2] in _set(template.media):
        return True
    if len(words) > 1 and words[0] in _set(template.pronouns):
        return True
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        if before.endswith("ly") and place > 1:
            before = words[place - 2]
        does = (
            before in _set(template.persons) | _set(template.voices)
            and word.endswith("s")
            and word not in _set(template.not_plural)
        )
        if word not in _set(template.verbs) and not (does and len(word) > 3 and "'" not in word):
            continue
        near = set(words[max(0, place - 3) : place])
        if before not in _set(template.relatives) and not near & _set(template.conjunctions):
            return True
    return False


def _first(text: str, template: Template) -> tuple[str, str]:
    """The first sentence or fragment, and the rest, each of its sentences with a capital."""
    parts = sentences(text, _set(template.abbreviations))
    return parts[0], " ".join(_raised(part) for part in parts[1:])


def _with_rest(clause: str, rest: str) -> str:
    return f"{ended(clause)} {rest}" if rest else clause


def _tidy(text: str | None, template: Template) -> tuple[str, bool]:
    one, is_list = tidy(
        text, _set(template.lead_words), _set(template.abbreviations), lambda part: is_sentence(part, template)
    )
    if is_list:
        # "a man, A lamp": the later items start within the sentence
        one = re.sub(r"(?<=[,;] )(and )?(A|An|The|One|Two|Some)(?= )", lambda m: (m[1] or "") + m[2].lower(), one)
        one = re.sub(r"(?<= and )(A|An|The|One|Two|Some)(?= )", lambda m: m[1].lower(), one)
    return one, is_list


def _raised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower_first(text: str) -> str:
    """With a small first letter, unless the first word is "I" or an abbreviation."""
    word = re.match(r"\w+(?:['’]\w+)?", text)
    if word is None or word.group()[:2] in {"I", "I'", "I’"}:
        return text
    rest = word.group()[1:]
    return text if rest and not rest.islower() else text[:1].lower() + text[1:]


def _untitled(text: str) -> str:
    """Without the capitals of a title or of a list: "Brow Lowerer", "smile, Pleasure"."""
    words = text.split()
    if len(words) > 1 and all(word.istitle() for word in words):
        return text.lower()
    return re.sub(r", [A-Z](?=[a-z])", lambda match: match.group().lower(), text)


def _lowered(text: str, words: Sequence[str], template: Template) -> str:
    """Lowers the first letter only of words that are surely not a name."""
    first = words[0] if words else ""
    sure = first in _set(template.determiners) or first in _set(template.starts) or first.endswith("ing")
    return _lower_first(text) if sure else text


def _fill(pattern: str, clue: str) -> str:
    # not str.format: clues may hold braces
    return pattern.replace("{clue}", clue)


@cache
def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


STAGE: Stage[str] = Stage(
    name="coarse",
    purpose="the coarse-grained description, by a template",
    compute=lambda work, label, scene, tone, said: caption(label, scene, tone, said),
    needs=("label", "scene", "tone", "words"),
    data_version=lambda: load_template().version,
)
WITH_TRANSLATION = replace(
    STAGE,
    compute=lambda work, label, scene, tone, said, translated: caption(
        label, scene, tone, in_english(said, translated)
    ),
    needs=(*STAGE.needs, "subtitle_en"),
)

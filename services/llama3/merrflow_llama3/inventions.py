"""Does an answer speak of persons, objects or events that no clue names?

Which words are such is known from WordNet (`things`), so no list of likely inventions is needed. A word is named if a
clue has it in any form, a synonym, or something more special: of "a waiter" one may say "a worker", not the reverse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import chain

from merrflow_llama3.check_rules import check_rules, pattern
from merrflow_llama3.content_rules import content_rules, word_set
from merrflow_llama3.denial import asserted
from merrflow_llama3.lexicon import labels, word_list
from merrflow_llama3.things import stems, things, word_forms
from merrflow_llama3.types import Clues

_CLAUSE = re.compile(r"[^,;:.]+")


def unnamed_thing(sentences: list[str], clues: Clues, *, foreign: bool) -> str | None:
    """The first thing, as a reason. foreign: what is said is in a language that nobody translated, so that sentences
    that tell what is said cannot be judged."""
    known = {stem for found in word_forms(_text(clues)) for stem in forms(found.group())}
    implied = things().implied(known)
    for sentence in sentences:
        if foreign and pattern(content_rules().speech).search(sentence):
            continue
        for clause in _CLAUSE.finditer(sentence):
            for form, thing in _things(clause.group()):
                if thing in known or set(things().meanings.get(thing, ())) & implied:
                    continue
                if any(asserted(pattern((form,)), clause.group(), check_rules().negations)):
                    return f'"{form}" is in no clue'
    return None


def other_sex(sentences: list[str], clues: Clues) -> str | None:
    """ "a woman" where scene and tone speak of men alone, or the reverse, as a reason."""
    rules = content_rules()
    seen, known = _words(f"{clues.scene} {clues.tone}"), set(_words(_text(clues)))
    said = _words(" ".join(sentences))
    for named, other in ((rules.women, rules.men), (rules.men, rules.women)):
        told = next((word for word in seen if word in other), None)
        found = next((word for word in said if word in named), None)
        if told and found and not known & set(named):
            return f'"{found}" is in no clue, and "{told}" is'
    return None


@cache
def forms(form: str) -> frozenset[str]:
    """All that a word form may be a form of."""
    return frozenset(content_rules().irregular.get(stem, stem) for stem in stems(form))


def _things(text: str) -> Iterator[tuple[str, str]]:
    for found in word_forms(text):
        if thing := _thing(found.group()):
            yield found.group(), thing


@cache
def _thing(form: str) -> str:
    """The thing that a word form names; empty if none, or one that every answer may have."""
    if form in _of_face_and_voice():
        return ""
    for stem in stems(form):
        thing = content_rules().irregular.get(stem, stem)
        if thing in word_set("allowed"):
            return ""
        is_noun = thing in word_set("also") and not form.endswith(("ed", "ing"))
        if is_noun or thing in word_set("acts") or thing in things().meanings:
            return thing
    return ""


@cache
def _of_face_and_voice() -> frozenset[str]:
    """Names of feelings, and what a voice may be: other checks judge those."""
    told = (*check_rules().feeling.words.values(), *(entry.feels for entry in labels().values()))
    return frozenset(chain(word_list("voice_adjectives"), *told))


def _words(text: str) -> list[str]:
    return [found.group() for found in word_forms(text)]


def _text(clues: Clues) -> str:
    return " ".join(
        (
            clues.scene,
            *clues.expressions,
            *clues.other_expressions,
            clues.tone,
            clues.subtitle,
            clues.translation,
            clues.label,
        )
    )

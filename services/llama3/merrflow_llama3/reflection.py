"""Does an answer take up each clue that it was given? One that passes over a clue may be another clip's."""

from __future__ import annotations

from merrflow_llama3.bearing import grounds
from merrflow_llama3.check_rules import check_rules, pattern
from merrflow_llama3.content_rules import content_rules, word_set
from merrflow_llama3.faithfulness import voice_beyond
from merrflow_llama3.inventions import forms
from merrflow_llama3.lexicon import voice_grounds, word_list
from merrflow_llama3.things import word_forms
from merrflow_llama3.types import Clues

_SHORTEST = 3  # letters


def ignored_clue(text: str, clues: Clues, *, foreign: bool) -> str | None:
    """The first clue that the answer passes over, as a reason. foreign: what is said was not translated, so
    nobody knows whether it matters."""
    for name, passed in (("face", _face), ("voice", _voice)):
        if not passed(text, clues):
            return f"nothing of the {name} is taken up"
    return None if _words(text, clues, foreign) else "nothing of the words is taken up"


def _face(text: str, clues: Clues) -> bool:
    shown = " ; ".join(clues.expressions)
    parts = [part for part in content_rules().parts if pattern(part).search(shown)]
    return not parts or any(pattern(part).search(text) for part in parts)


def _voice(text: str, clues: Clues) -> bool:
    heard = [ground.split()[0] for ground in voice_grounds(clues.tone)]
    heard = [one for one in heard if one not in word_list("voice_plain")]
    if not heard:
        return True
    if pattern(check_rules().voice_nouns).search(text) and not voice_beyond(text, clues):
        return True  # in words that the rules do not know
    said = _forms(text)
    alike = [quality.says + quality.alone for quality in check_rules().voice]
    near = [words for words in alike if any(pattern(words).search(one) for one in heard)]
    for expression in (*clues.expressions, *clues.other_expressions):
        text = text.replace(expression, "")  # "raised cheeks" says nothing of a raised voice
    return any(forms(one) & said for one in heard) or any(pattern(words).search(text) for words in near)


def _words(text: str, clues: Clues, foreign: bool) -> bool:
    heard, bear = _content(f"{clues.subtitle} {clues.translation}"), bool(grounds(clues, clues.label).quotes)
    if foreign or heard & _content(text) or not (heard or bear):
        return True
    # What is no argument for the label, or has no word of its own, need only be mentioned.
    mentioned = '"' in text or pattern(content_rules().speech).search(text) is not None
    return mentioned and not (heard and bear)


def _content(text: str) -> set[str]:
    return {form for form in _forms(text) if len(form) >= _SHORTEST and form not in word_set("common")}


def _forms(text: str) -> set[str]:
    return {stem for found in word_forms(text) for stem in forms(found.group())}

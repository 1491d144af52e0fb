"""From a model's words to the service's one text: listed tones are recognised, windows are joined.

What is decided here:

- With a closed list, an answer that names one option or a few becomes a sentence with just these, in the answer's
  order. A mention that is denied ("not angry") does not count. An answer that names none of them, or so many that it
  repeats the list, is kept as the model wrote it; the measurement `tone_in_list` is then 0, else 1, so that a data set
  can keep or drop it. Nothing is mapped by meaning.
- A recording of several windows gives one text: neighbours that say the same say it once, what differs is joined in
  order of time by the words of the prompt file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from merrflow_qwen_audio.prompt import Join, Prompt
from merrflow_serving.answers import Measurement, Outcome

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_REACH = 2  # words between a denial and what it denies
IN_LIST = "tone_in_list"


@dataclass(frozen=True)
class Reply:
    """What a model answered on one window."""

    text: str
    truncated: bool = False  # cut by the token limit


@dataclass(frozen=True)
class Told:
    """The text of a whole recording."""

    text: str
    outcome: Outcome
    measurements: tuple[Measurement, ...] = ()


def listed(text: str, prompt: Prompt) -> tuple[str, ...]:
    """The prompt's options that an answer names, each once, in its order; none where it repeats the list."""
    forms = {form: option for option, others in prompt.options.items() for form in (option, *others)}
    words = [word.replace("’", "'") for word in _WORD.findall(text.lower())]
    found: dict[str, None] = {}
    for place, word in enumerate(words):
        if word in forms and not _denied(words[max(0, place - 1 - _REACH) : place], prompt):
            found[forms[word]] = None
    return tuple(found) if len(found) <= prompt.most_options else ()


def _denied(before: Sequence[str], prompt: Prompt) -> bool:
    """Whether the words just before a mention deny it."""
    for word in reversed(before):
        if word in prompt.contrasts:
            return False
        if word in prompt.denials:
            return True
    return False


def tell(replies: Sequence[Reply], prompt: Prompt, *, own_question: bool = False) -> Told:
    """One text from the answers on a recording's windows, in order of time.

    `own_question`: the caller asked something else than the prompt does, so that its list means nothing here.
    An answer without a letter or digit says nothing; refused where none is left.
    """
    given = [replace(one, text=_clean(one.text)) for one in replies]
    given = [one for one in given if any(character.isalnum() for character in one.text)]
    with_list = bool(prompt.options) and not own_question
    named = [listed(one.text, prompt) if with_list else () for one in given]
    taken = (Measurement(IN_LIST, float(bool(named) and all(named)), "1"),) if with_list else ()
    if not given:
        return Told("", Outcome.REFUSED, taken)
    words = [_and(options) or _one_word(one, prompt, own_question) for options, one in zip(named, given, strict=True)]
    if all(words):  # then a cut answer is whole in what it is used for
        text, cut = _around(_joined(words, prompt.windows.words), prompt), False
    else:
        texts = [_around(word, prompt) if word else one.text for word, one in zip(words, given, strict=True)]
        cut = any(one.truncated and not word for word, one in zip(words, given, strict=True))
        text = _joined(texts, prompt.windows.texts)
    return Told(text, Outcome.TRUNCATED if cut else Outcome.DONE, taken)


def _clean(text: str) -> str:
    """On one line, without control characters, and without the half character that a cut answer ends with."""
    shown = (" " if character.isspace() else character for character in text)
    kept = "".join(character for character in shown if unicodedata.category(character) != "Cc")
    return " ".join(kept.rstrip("\ufffd ").split())


def _one_word(reply: Reply, prompt: Prompt, own_question: bool) -> str:
    """The answer in lower case where it is a single word that the prompt's sentence is made for, else ""."""
    if own_question or prompt.format != "tags" or reply.truncated or len(_WORD.findall(reply.text)) != 1:
        return ""
    return reply.text.strip(" .,;:!?").lower()


def _and(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " * (len(words) > 1) + words[-1] if words else ""


def _around(words: str, prompt: Prompt) -> str:
    return prompt.sentence.replace("{answer}", words)


def _joined(parts: Sequence[str], join: Join) -> str:
    """In order of time; neighbours that are the same, once."""
    changes = [part for part, before in zip(parts, [None, *parts], strict=False) if part != before]
    if len(changes) == 1:
        return changes[0]
    first, *others = changes
    return join.first.replace("{answer}", first) + "".join(join.then.replace("{answer}", part) for part in others)

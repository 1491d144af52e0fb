"""From a model's answers to one text: listed tones are recognised, windows are joined.

Rules:

- With a closed list, an answer that names one option or a few becomes a sentence with just these, in the answer's
  order. A mention that is denied ("not angry") does not count. An answer that names none of them, or so many that it
  repeats the list, is kept as the model wrote it. The measurement `tone_in_list` is 1 if every answer named an option,
  otherwise 0, so that a dataset can keep or drop such texts. Nothing is mapped by meaning.
- A recording of several windows gives one text: equal neighbours are kept once, different ones are joined in order of
  time with the words of the prompt file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from merrflow_qwen_audio.engines.audio_language.prompt_file import Join, Prompt
from merrflow_qwen_audio.engines.audio_language.timestamps import without_timestamps
from merrflow_serving.answers import Measurement, Outcome

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_REACH = 2  # words between a denial and what it denies
IN_LIST = "tone_in_list"


@dataclass(frozen=True)
class Reply:
    """What a model answered about one window."""

    text: str
    truncated: bool = False  # cut by the token limit


@dataclass(frozen=True)
class MergedReply:
    """The text of a whole recording."""

    text: str
    outcome: Outcome
    measurements: tuple[Measurement, ...] = ()


def named_options(text: str, prompt: Prompt) -> tuple[str, ...]:
    """The prompt's options that an answer names, each once, in the answer's order; none if it repeats the list."""
    forms = {form: option for option, others in prompt.options.items() for form in (option, *others)}
    words = [word.replace("’", "'") for word in _WORD.findall(without_timestamps(text).lower())]
    found: dict[str, None] = {}
    for index, word in enumerate(words):
        if word in forms and not _denied(words[max(0, index - 1 - _REACH) : index], prompt):
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


def merge_replies(replies: Sequence[Reply], prompt: Prompt, *, own_question: bool = False) -> MergedReply:
    """One text from the answers about a recording's windows, in order of time.

    own_question: the caller asked something else than the prompt does, so the prompt's list does not apply.
    Answers without a letter or digit are dropped; if none is left, the outcome is `REFUSED`.
    """
    given = [replace(one, text=_clean(one.text)) for one in replies]
    given = [one for one in given if any(map(str.isalnum, without_timestamps(one.text)))]
    with_list = bool(prompt.options) and not own_question
    named = [named_options(one.text, prompt) if with_list else () for one in given]
    taken = (Measurement(IN_LIST, float(bool(named) and all(named)), "1"),) if with_list else ()
    if not given:
        return MergedReply("", Outcome.REFUSED, taken)
    words = [_and(options) or _one_word(one, prompt, own_question) for options, one in zip(named, given, strict=True)]
    if all(words):  # then the part of a truncated answer that is used is complete
        text, cut = _around(_joined(words, prompt.windows.words), prompt), False
    else:
        texts = [_around(word, prompt) if word else one.text for word, one in zip(words, given, strict=True)]
        cut = any(one.truncated and not word for word, one in zip(words, given, strict=True))
        text = _joined(texts, prompt.windows.texts)
    return MergedReply(text, Outcome.TRUNCATED if cut else Outcome.DONE, taken)


def _clean(text: str) -> str:
    """On one line, without control characters and without the incomplete character at the end of a truncated answer."""
    shown = (" " if character.isspace() else character for character in text)
    kept = "".join(character for character in shown if unicodedata.category(character) != "Cc")
    return " ".join(kept.rstrip("\ufffd ").split())


def _one_word(reply: Reply, prompt: Prompt, own_question: bool) -> str:
    """The answer in lower case if it is a single word that the prompt's sentence is made for, otherwise ""."""
    text = without_timestamps(reply.text)
    if own_question or prompt.format != "tags" or reply.truncated or len(_WORD.findall(text)) != 1:
        return ""
    return text.strip(" .,;:!?").lower()


def _and(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " * (len(words) > 1) + words[-1] if words else ""


def _around(words: str, prompt: Prompt) -> str:
    return prompt.sentence.replace("{answer}", words)


def _joined(parts: Sequence[str], join: Join) -> str:
    """In order of time; equal neighbours once."""
    changes = [part for part, before in zip(parts, [None, *parts], strict=False) if part != before]
    if len(changes) == 1:
        return changes[0]
    first, *others = changes
    return join.first.replace("{answer}", first) + "".join(join.then.replace("{answer}", part) for part in others)

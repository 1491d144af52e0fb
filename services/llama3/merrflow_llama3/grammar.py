"""A grammar for one clip's answer: two or three whole sentences that cannot leave the clues.

A model of 135 million parameters drifts after one sentence: it repeats itself and invents people and events. So at
each token it may choose only what continues a sentence over *these* clues:

1. what is seen and heard: parts of the scene, some of the expressions, the tone in full or in part;
2. if something quotable is said: one sentence of it, and what it suggests under the given label;
3. two clues of different kinds, and the feeling they show.

The model chooses which parts of the scene to mention, which expressions and in what order, how much of the tone,
which sentence of the subtitle and what it suggests, which two clues support the conclusion, and the word for the
feeling (without a label: among all feelings of the lexicon). It cannot name what no clue names.
Written for llguidance (github.com/guidance-ai/llguidance), which llama.cpp runs beside the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import permutations

from merrflow_llama3 import text
from merrflow_llama3.lexicon import LabelWords, gender, has_verb, label_words, labels, verbs, voice_grounds
from merrflow_llama3.types import Clues

_MOST_EXPRESSIONS = 6  # to choose from
_LISTED_EXPRESSIONS = 3  # in one sentence
_MOST_PHRASES = 6  # of one sentence of the scene
_ASIDE_WORDS = 12  # a further statement of the scene is used only if it is no longer
# How captions like to begin; the answer begins with "In the video," already.
_FRAME = re.compile(
    r"^(in (the|this) (image|picture|photo|frame|video),? |(the|this) (image|picture|photo|frame|video) "
    r"(shows|depicts|features) )",
    re.IGNORECASE,
)
_SPECIAL = re.compile(r"([!-/:-@\[-`{-~])")


def answer_grammar(clues: Clues) -> str:
    """The grammar for prepared clues (`CluePrompt.prepare`), at least one of which must not be empty.

    It describes what follows the prompt's `answer_starts`, from a space to the last full stop.
    """
    quotes = text.quotable(clues.subtitle)
    who = gender(text.words(clues.scene), text.words(clues.tone))
    observed = bool(clues.scene or clues.expressions or clues.tone)
    opened = {clues.label: label_words(clues.label)} if clues.label else labels()
    conclusions = []
    for label in opened.values():  # what the words suggest and what is felt must belong to the same label
        said = f"{_said(quotes, label)} " if quotes and observed else ""
        conclusions.append(said + _concluded(clues, quotes, who, label))
    return f"%llguidance {{}}\nstart: /{_seen_and_heard(clues, quotes, who)} {_any(conclusions)}/\n"


def _seen_and_heard(clues: Clues, quotes: tuple[str, ...], who: str) -> str:
    statements = _statements(clues.scene)
    subject = {"she": "a woman", "he": "a man"}.get(who, "a person")
    parts, asides = [], []
    if statements:
        # "Two people are visible; the nearest ...": what a sentence says of its subject may come in its second half.
        first = statements[0].split(";")[:2]
        parts.append(" " + ", and ".join(_in_part(statement) for statement in first))
        later = (part.strip() for statement in statements[1:] for part in statement.split(";"))
        asides = [_literal(aside) for aside in later if len(aside.split()) <= _ASIDE_WORDS]
    if clues.expressions:
        start = "," if statements else f" {subject} (appears|is seen)"
        parts.append(f"{start} with {_listed(clues.expressions[:_MOST_EXPRESSIONS])}")
    if asides:
        parts.append(f"(, while {_any(asides)})?")
    if clues.tone:
        parts.append(f"{', and' if parts else ''} {_beginning(_lowered(text.tone_sentence(clues.tone)))}")
    if parts:
        return "".join(parts) + r"\."
    if not quotes:  # a scene that is nothing but a quotation
        return f" {subject} is seen\\."
    verb = "asks" if quotes[0].endswith("?") else "says"
    return f" {subject} {verb}, {_any(map(_quoted, quotes))}\\."


def _said(quotes: tuple[str, ...], label: LabelWords) -> str:
    things = [sense for sense in label.senses if sense.startswith(("a ", "an ", "something "))]
    feelings = _any(_literal(sense) for sense in label.senses if sense not in things)
    like = f"|LIKE {_any(map(_literal, things))}" if things else ""
    options = []
    for quote in quotes:
        asked = quote.endswith("?")
        suggest = "(suggests|expresses|points to)" if asked else "(suggest|express|point to)"
        sound = "sounds like" if asked else "sound like"
        kind = "question" if asked else "words"
        options.append(f"{kind} {_quoted(quote)} ({suggest} {feelings}{like.replace('LIKE', sound)})")
    return f"The {_any(options)}\\."


def _concluded(clues: Clues, quotes: tuple[str, ...], who: str, label: LabelWords) -> str:
    face = [re.sub(r"^(?:a|an|the) ", "", phrase) for phrase in clues.expressions[:_MOST_EXPRESSIONS]]
    kinds = [kind for kind in (face, voice_grounds(clues.tone), ["words"] if quotes else []) if kind]
    if len(kinds) > 1:  # a conclusion combines what is seen with what is heard
        pairs = [(a, b) for one, other in permutations(kinds, 2) for a in one for b in other]
    else:
        pairs = list(permutations(kinds[0], 2)) if kinds else []
    if pairs:
        grounds = _any(_literal(f"{first} and the {second}") for first, second in pairs)
        verb = "(show|suggest|indicate)"
    else:
        ground = kinds[0][0] if kinds else "scene"
        plural = ground == "words" or bool(clues.expressions and not clues.expressions[0].startswith(("a ", "an ")))
        grounds = _literal(ground)
        verb = "(show|suggest|indicate)" if plural else "(shows|suggests|indicates)"
    return f"The {grounds} {verb} that {who or 'the person'} feels {_any(map(_literal, label.feels))}\\."


def _statements(scene: str) -> list[str]:
    """The scene's sentences without their marks, except those that quote text in the picture."""
    scene = _FRAME.sub("", re.sub(r'"[^"]*"', '"', scene))
    found = [part.strip(" .!?,;") for part in re.findall(r"[^.!?]+[.!?]*", scene)]
    return [_lowered(part) for part in found if part and '"' not in part and text.words(part)]


def _in_part(statement: str) -> str:
    """Its first phrase, then any of the others in order; "sitting" after the subject may become "sits"."""
    first, *others = [phrase.strip() for phrase in statement.split(",")][:_MOST_PHRASES]
    return _literal(_finite(first)) + "".join(f"(, {_literal(phrase)})?" for phrase in others if phrase)


def _beginning(sentence: str) -> str:
    """The sentence, or its beginning up to a comma or semicolon."""
    parts = re.split(r"([,;] )", sentence.rstrip(" ."))
    expression = ""
    for mark, phrase in reversed(list(zip(parts[1::2], parts[2::2], strict=True))):
        expression = f"({_literal(mark + phrase)}{expression})?"
    return _literal(parts[0]) + expression


def _finite(phrase: str) -> str:
    """A caption as a statement: "a man sitting on a bench" becomes "a man sits on a bench".

    Only the first word in -ing, only if no verb comes before it, and only verbs that the lexicon knows.
    """
    match = re.search(r"\b[a-z]+ing\b", phrase)
    if not match or match.group(0) not in verbs() or has_verb(phrase[: match.start()]):
        return phrase
    return phrase[: match.start()] + verbs()[match.group(0)] + phrase[match.end() :]


def _lowered(sentence: str) -> str:
    first = sentence.split(" ", 1)[0]
    return sentence[:1].lower() + sentence[1:] if first == "A" or first[1:].islower() else sentence


def _listed(phrases: Iterable[str]) -> str:
    """Two or three of the phrases (or the only one), in any order: "a, b and c"."""
    phrases = list(phrases)
    lists = []
    for count in range(min(2, len(phrases)), min(_LISTED_EXPRESSIONS, len(phrases)) + 1):
        for chosen in permutations(phrases, count):
            head, last = ", ".join(chosen[:-1]), chosen[-1]
            lists.append(_literal(f"{head} and {last}" if head else last))
    return _any(lists)


def _quoted(quote: str) -> str:
    bare = quote if quote.endswith(("?", "!", text.CUT_MARK)) else quote.rstrip(".,;: ")
    return _literal(f'"{bare}"')


def _any(options: Iterable[str]) -> str:
    return f"({'|'.join(sorted(set(options)))})"


def _literal(value: str) -> str:
    """The value as a regular expression that matches nothing else."""
    return _SPECIAL.sub(r"\\\1", value)

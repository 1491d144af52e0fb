"""A grammar for one clip's answer: two sentences that cannot leave the clues.

A model of 135 million parameters drifts after one sentence: it repeats itself and invents people and events. So at
each token it may choose only what continues a sentence over *these* clues, of which only those are left that bear on
the label (`bearing`):

1. what is seen, heard and said: a part of the scene, the expressions, the voice, a sentence of the subtitle;
2. one or two grounds of different kinds, and the feeling that they show; "only ... faintly" if they are weak.

The model chooses the parts of the scene, the order of the expressions, the quotation, the grounds and the word for the
feeling (without a label: among all feelings with grounds). Written for llguidance (github.com/guidance-ai/llguidance),
which llama.cpp runs beside the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import permutations

from merrflow_llama3 import text
from merrflow_llama3.bearing import Grounds, all_grounds, with_article
from merrflow_llama3.lexicon import gender, has_verb, label_words, verbs
from merrflow_llama3.types import Clues

_LISTED = 3  # expressions, or qualities of the voice, in one sentence
_MOST_PHRASES = 6  # of one sentence of the scene
# How captions like to begin; the answer begins with "In the video," already.
_FRAME = re.compile(
    r"^(in (the|this) (image|picture|photo|frame|video),? |(the|this) (image|picture|photo|frame|video) "
    r"(shows|depicts|features) )",
    re.IGNORECASE,
)
# Of several people one has the expressions: "two people are visible, with lowered brows" would say it of both.
_SEVERAL = re.compile(
    r"^(there (are|is) )?(two|three|four|five|six|seven|eight|nine|ten|several|some|many|people|men|women|children|"
    r"an? (group|crowd|couple|pair|family) )\b"
    r"|^[^,]*\b(man|woman|person|boy|girl|lady|child) and (an?|another|the) (\w+ )?"
    r"(man|woman|person|boy|girl|lady|child)\b",
    re.IGNORECASE,
)
_SPECIAL = re.compile(r"([!-/:-@\[-`{-~])")


def answer_grammar(clues: Clues) -> str:
    """The grammar for prepared clues (`Prompt.prepare`); empty if no clue bears on the label: then there is no text.

    It describes what follows the prompt's `answer_starts`, from a space to the last full stop.
    """
    # Of "a man and a woman" either may be the subject.
    seen = "" if _several(clues.scene) else clues.scene
    who = gender(text.words(seen), text.words(clues.tone))
    answers = [
        f"{_observed(clues, grounds, who)} {_concluded(clues, grounds, label, who)}"
        for label, grounds in all_grounds(clues).items()
    ]
    return f"%llguidance {{}}\nstart: /{_any(answers)}/\n" if answers else ""


def _observed(clues: Clues, grounds: Grounds, who: str) -> str:
    scene = _scene(clues.scene)
    subject = {"she": "a woman", "he": "a man"}.get(who, "a person")
    parts = [f" {scene or f'{subject} is seen'}"]
    if grounds.face:
        parts.append(f", {'one of them ' if _several(clues.scene) else ''}with {_listed(grounds.face)}")
    if grounds.voice:
        parts.append(f", and {_heard(grounds.voice)}")
    quotes = text.quotable(clues.subtitle)
    if grounds.quotes and not clues.translation:
        quotes = grounds.quotes
    if quotes:
        parts.append(f", {'while' if grounds.voice else 'and'} the words are {_any(map(_quoted, quotes))}")
    return "".join(parts) + r"\."


def _concluded(clues: Clues, grounds: Grounds, label: str, who: str) -> str:
    face = [re.sub(r"^(?:a|an|the) ", "", phrase) for phrase in grounds.face]
    said = [f'words, in English "{quote}",' for quote in map(_bare, grounds.quotes)] if clues.translation else ["words"]
    kinds = [kind for kind in (face, list(grounds.voice), said if grounds.quotes else []) if kind]
    if len(kinds) > 1:
        pairs = [(a, b) for one, other in permutations(kinds, 2) for a in one for b in other]
    else:
        pairs = list(permutations(kinds[0], 2))
    felt = f"that {who or 'the person'} feels {_any(map(_literal, label_words(label).feels))}\\."
    only, faintly = ("Only the", " faintly") if grounds.faint else ("The", "")
    if pairs:
        both = _any(_literal(f"{first} and the {second}") for first, second in pairs)
        return f"{only} {both} (show|suggest|indicate){faintly} {felt}"
    ground = kinds[0][0]
    plural = ground.startswith("words") or not re.match(r"(?:a|an|the) ", (*grounds.face, "a ")[0])
    verb = "(show|suggest|indicate)" if plural else "(shows|suggests|indicates)"
    return f"{only} {_literal(ground)} {verb}{faintly} {felt}"


def _scene(scene: str) -> str:
    """The scene's first sentence, of which the model may leave out parts; empty if there is none."""
    return ", and ".join(map(_in_part, _statements(scene)))


def _statements(scene: str) -> list[str]:
    scene = _FRAME.sub("", re.sub(r'"[^"]*"', '"', scene))
    found = [part.strip(" .!?,;") for part in re.findall(r"[^.!?]+[.!?]*", scene)]
    sentences = [part for part in found if part and '"' not in part and text.words(part)]
    # "Two people are visible; the nearest ...": what a sentence says of its subject may come in its second half.
    return [_lowered(part.strip()) for part in sentences[0].split(";")[:2]] if sentences else []


def _several(scene: str) -> bool:
    """Whether the statement that the expressions follow is of several people."""
    return any(map(_SEVERAL.search, _statements(scene)[-1:]))


def _in_part(statement: str) -> str:
    """Its first phrase, then any of the others in order; "sitting" after the subject may become "sits"."""
    first, *others = [phrase.strip() for phrase in statement.split(",")][:_MOST_PHRASES]
    return _literal(_finite(first)) + "".join(f"(, {_literal(phrase)})?" for phrase in others if phrase)


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


def _heard(voice: tuple[str, ...]) -> str:
    listed = [with_article(ground) for ground in voice[:_LISTED]]
    return f"{_listed(listed)} {'are' if len(listed) > 1 else 'is'} heard"


def _listed(phrases: Iterable[str]) -> str:
    """Up to three of the phrases, in any order: "a, b and c"."""
    phrases = list(phrases)
    lists = []
    for chosen in permutations(phrases, min(_LISTED, len(phrases))):
        head, last = ", ".join(chosen[:-1]), chosen[-1]
        lists.append(_literal(f"{head} and {last}" if head else last))
    return _any(lists)


def _quoted(quote: str) -> str:
    return _literal(f'"{_bare(quote)}"')


def _bare(quote: str) -> str:
    return quote if quote.endswith(("?", "!", "？", "！", text.CUT_MARK)) else quote.rstrip(".,;:。 ")


def _any(options: Iterable[str]) -> str:
    return f"({'|'.join(sorted(set(options)))})"


def _literal(value: str) -> str:
    """The value as a regular expression that matches nothing else."""
    return _SPECIAL.sub(r"\\\1", value)

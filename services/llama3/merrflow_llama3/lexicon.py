"""The words around the clues: what each label is called and recognised by (`data/lexicon.yaml`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from merrflow_llama3.datafiles import read_data
from merrflow_llama3.text import words


@dataclass(frozen=True)
class LabelWords:
    """How one label is spoken of."""

    feels: tuple[str, ...]  # "the person feels ..."
    named_by: tuple[str, ...]  # beginnings of words that name the label or a synonym


@cache
def labels() -> dict[str, LabelWords]:
    """All labels that the lexicon knows."""
    return {
        name: LabelWords(tuple(entry["feels"]), tuple(entry["named_by"]))
        for name, entry in read_data("lexicon")["labels"].items()
    }


def label_words(label: str) -> LabelWords:
    """The words for a label; for the empty label those of all; an unknown label names itself."""
    known = labels()
    if not label:
        return LabelWords(
            tuple(word for entry in known.values() for word in entry.feels),
            tuple(word for entry in known.values() for word in entry.named_by),
        )
    return known.get(label) or LabelWords((label,), (label,))


@cache
def word_list(name: str) -> frozenset[str]:
    """One of the lexicon's lists of single words."""
    value = read_data("lexicon")[name]
    return frozenset(value.split() if isinstance(value, str) else value)


def voice_grounds(tone: str) -> list[str]:
    """The qualities of a voice that a conclusion can rest on: "fast pace", "quiet voice", in the order of the text.

    Unremarkable qualities ("a normal tone") count only if nothing else is said.
    """
    nouns, plain = word_list("voice_nouns"), word_list("voice_plain")
    adjectives = word_list("voice_adjectives") | plain
    found: dict[str, str] = {}
    said = words(tone)
    for index, word in enumerate(said):
        if word not in adjectives or (index and said[index - 1] in word_list("voice_softeners")):
            continue
        noun = []
        for follower in said[index + 1 : index + 3]:
            if follower not in nouns:
                break
            noun.append(follower)
        found.setdefault(f"{word} {' '.join(noun) or 'voice'}", word)
    remarkable = [ground for ground, word in found.items() if word not in plain]
    return remarkable or list(found)


def gender(scene_words: list[str], tone_words: list[str]) -> str:
    """ "she", "he" or "" for the person the clues speak of; "" also if they disagree.

    In the scene the first person named counts, since the subject is named first.
    """
    found = set()
    first = [word for word in scene_words if word in word_list("women") | word_list("men") | {"person", "people"}]
    for word in first[:1] + tone_words:
        if word in word_list("women"):
            found.add("she")
        elif word in word_list("men"):
            found.add("he")
    return found.pop() if len(found) == 1 else ""


@cache
def verbs() -> dict[str, str]:
    """Verbs of captions: "sitting" -> "sits"."""
    forms: dict[str, str] = read_data("lexicon")["caption_verbs"]
    return forms


def has_verb(phrase: str) -> bool:
    """Whether a caption already has a finite verb."""
    finite = set(verbs().values()) | {"is", "are", "was", "were", "has", "have", "can"}
    return any(word in finite for word in words(phrase))

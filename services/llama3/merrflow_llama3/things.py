"""Words for persons, animals, objects, events and what one does with them, and what they mean (`data/things.txt`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from merrflow_llama3.datafiles import read_text

_WORD = re.compile(r"[a-z]+")
# Endings of word forms and what replaces them, tried in this order; a doubled letter before them may go.
_ENDINGS = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""), ("ied", "y"), ("ed", ""), ("ed", "e"),
            ("ing", ""), ("ing", "e"))  # fmt: skip
_SHORTEST = 3
_DOUBLE = re.compile(r"([bdgklmnprt])\1$")  # doubled before an ending: "slammed"; not so "crossed", "rolled"


@dataclass(frozen=True)
class Things:
    """Words and their meanings, which are numbers of WordNet's synsets."""

    meanings: Mapping[str, tuple[str, ...]]
    general: Mapping[str, tuple[str, ...]]  # more general meanings: of a waiter, a worker's

    def implied(self, words: Iterable[str]) -> set[str]:
        """What the words mean, and everything more general."""
        own = {meaning for word in words for meaning in self.meanings.get(word, ())}
        return own | {more for meaning in own for more in self.general.get(meaning, ())}


@cache
def things() -> Things:
    """The words, read once."""
    listed, _, trees = read_text("data", "things.txt").partition("\n---\n")
    return Things(dict(_rows(listed)), dict(_rows(trees)))


def _rows(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line in text.splitlines():
        if line and not line.startswith("#"):
            first, *others = line.split()
            yield first, tuple(others)


def stems(form: str) -> Iterator[str]:
    """What a word form may be a form of, itself first: "slammed" gives slammed, slam, slame."""
    yield form
    for ending, instead in _ENDINGS:
        stem = form.removesuffix(ending)
        if stem == form or len(stem) < _SHORTEST:
            continue
        if ending in ("ed", "ing") and _DOUBLE.search(stem):
            stem = stem[:-1]
        yield stem + instead


def word_forms(text: str) -> Iterator[re.Match[str]]:
    """The words of a text in lower case, with their places; parts of "low-pitched" are words."""
    return _WORD.finditer(text.lower())

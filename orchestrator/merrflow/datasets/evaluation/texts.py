"""Lengths and distinctness of captions. Words are runs of letters and digits; case does not count."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

SAMPLE = 500  # texts compared with each other; the pairs grow with its square
_WORD = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True)
class TextMeasures:
    """One side's captions."""

    texts: int
    shortest: int  # words, as are the next three
    median: float
    mean: float
    longest: int
    duplicated: int  # texts that another clip has too, blanks and case aside
    sampled: int  # texts that the rest is measured on, drawn by a hash of the clip's name
    distinct_1: float | None  # different words over all words (Li et al. 2016); falls as texts become more
    distinct_2: float | None  # the same of word pairs
    overlap: float | None  # mean over pairs of texts of the Jaccard index of their word pairs; 1: all alike


def measure_sides(sides: Mapping[str, Mapping[str, str]]) -> dict[str, TextMeasures]:
    """Of each side's captions by clip name; blank ones, and sides without any, are left out.

    Distinctness falls as texts become more, so that it is measured on equally many of each side.
    """
    kept = {side: {name: text for name, text in texts.items() if text.strip()} for side, texts in sides.items()}
    kept = {side: texts for side, texts in kept.items() if texts}
    sample = min([SAMPLE, *map(len, kept.values())])
    return {side: _measure(texts, sample) for side, texts in kept.items()}


def _measure(texts: Mapping[str, str], sample: int) -> TextMeasures:
    words = {name: _WORD.findall(text.casefold()) for name, text in texts.items()}
    lengths = [len(each) for each in words.values()]
    copies = Counter(" ".join(text.casefold().split()) for text in texts.values())
    drawn = sorted(words, key=lambda name: (hashlib.sha256(name.encode()).digest(), name))[:sample]
    sampled = [words[name] for name in drawn]
    return TextMeasures(
        texts=len(texts),
        shortest=min(lengths),
        median=float(median(lengths)),
        mean=fmean(lengths),
        longest=max(lengths),
        duplicated=sum(count for count in copies.values() if count > 1),
        sampled=len(sampled),
        distinct_1=_distinct(sampled, 1),
        distinct_2=_distinct(sampled, 2),
        overlap=_overlap(sampled),
    )


def _grams(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(size)), strict=False))


def _distinct(texts: Sequence[Sequence[str]], size: int) -> float | None:
    seen: set[tuple[str, ...]] = set()
    total = 0
    for words in texts:
        grams = _grams(words, size)
        seen.update(grams)
        total += len(grams)
    return len(seen) / total if total else None


def _overlap(texts: Sequence[Sequence[str]]) -> float | None:
    """Mean pairwise Jaccard index of the texts' word pairs; texts of one word have none and are left out."""
    import numpy as np
    from scipy.sparse import csr_array

    sets = [grams for words in texts if (grams := set(_grams(words, 2)))]
    if len(sets) < 2:
        return None
    number = {gram: index for index, gram in enumerate(sorted(set().union(*sets)))}
    columns = [number[gram] for grams in sets for gram in sorted(grams)]
    starts = np.cumsum([0, *(len(grams) for grams in sets)])
    table = csr_array((np.ones(len(columns), np.int64), columns, starts), shape=(len(sets), len(number)))
    shared = (table @ table.T).toarray()
    sizes = shared.diagonal()
    upper = np.triu_indices(len(sets), 1)
    union = sizes[:, None] + sizes[None, :] - shared
    return float((shared[upper] / union[upper]).mean())

"""Measures of texts as texts: readability, distinctness, and errors between two writings of the same words."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from merrflow.datasets.scoring.scores import Measure
from merrflow.stages.clue_text import WORD, sentences
from merrflow.stages.coarse_template import load_template
from merrflow.stages.word_errors import WITHOUT_BLANKS, error_rate, plain_words

GRAM = 4  # words
_VOWELS = re.compile(r"[aeiouy]+")


def readability(text: str) -> Measure:
    """Flesch reading ease: 100 is easy, 0 very hard, and it may go beyond both. 206.835 - 1.015 words/sentences - 84.6
    syllables/words; Flesch (1948), "A new readability yardstick", J. Appl. Psychol. 32. English only."""
    words = [word for word in WORD.findall(text) if word.isascii()]
    if not words:
        return Measure(None, "the text has no English word")
    parts = [part for part in sentences(text, load_template().abbreviations.split()) if WORD.search(part)]
    syllables = sum(map(_syllables, words))
    return Measure(206.835 - 1.015 * len(words) / len(parts) - 84.6 * syllables / len(words))


def _syllables(word: str) -> int:
    """Groups of vowels, without a silent e at the end."""
    word = word.casefold()
    count = len(_VOWELS.findall(word))
    silent = word.endswith("e") and not word.endswith(("le", "ee", "ye")) and count > 1
    return max(1, count - silent)


class Corpus:
    """The texts of a dataset, to compare each with the others. Keeps only hashes, eight bytes for each run of words."""

    def __init__(self) -> None:
        self._texts: Counter[bytes] = Counter()
        self._grams: Counter[int] = Counter()  # in how many texts
        self._sum = 0  # of the texts' hashes
        self.size = 0

    def add(self, text: str) -> None:
        key = _hash(text)
        self.size += 1
        self._sum = (self._sum + int.from_bytes(key, "big")) % 2**128
        self._texts[key] += 1
        self._grams.update(set(_grams(text)))

    @property
    def digest(self) -> str:
        """Changes with every text; the same in any order of them."""
        return f"{self.size} {self._sum:x}"

    def measures(self, text: str) -> Mapping[str, Measure]:
        """Of a text that was added: `distinctness`, the share of its runs of four words that no other text has, and
        `same_text`, how many others are the same."""
        if self.size < 2:
            return dict.fromkeys(("distinctness", "same_text"), Measure(None, "there is no other text"))
        grams = _grams(text)
        alone = sum(self._grams[gram] == 1 for gram in grams)
        few = f"the text has fewer than {GRAM} words"
        return {
            "distinctness": Measure(alone / len(grams)) if grams else Measure(None, few),
            "same_text": Measure(float(self._texts[_hash(text)] - 1)),
        }


def error_rates(said: str, heard: str, language: str = "") -> Mapping[str, Measure]:
    """`words_wer` and `words_cer`: edits from what is written to what is heard, over the length of what is written, in
    words and in letters; case and stops do not count. Above 1 if more is heard than written. language: ISO 639 code of
    what is heard; where words are not apart there are letters alone."""
    words, others = plain_words(said), plain_words(heard)
    in_words, in_letters = error_rate(words, others), error_rate("".join(words), "".join(others))
    none = Measure(None, "the subtitle has no word")
    apart = Measure(None, f"words are not apart in {language}")
    return {
        "words_wer": apart if language in WITHOUT_BLANKS else Measure(in_words) if words else none,
        "words_cer": Measure(in_letters) if words else none,
    }


def _grams(text: str) -> Sequence[int]:
    words = plain_words(text)
    return [int.from_bytes(_hash(" ".join(words[at : at + GRAM]))[:8], "big") for at in range(len(words) - GRAM + 1)]


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest()

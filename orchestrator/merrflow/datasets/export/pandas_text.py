"""Tables that `pandas.read_csv` reads back as the text that they hold, as the trainers' loaders call it: by default.

By default it takes some words for no value, and a column of numbers for numbers, so that "0001" is not found any more.
"""

from __future__ import annotations

import csv
import re
from typing import TextIO

from merrflow.datasets.export.text import one_line, trainable

# A sentence or name that is one of these words becomes the number NaN, quoted or not.
MISSING = frozenset(
    {"NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NULL", "null", "None", "NaN", "nan", "-NaN", "-nan"}
    | {"1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
)
# If every name of a column, or of a chunk of it, is such a word, all of them become numbers or truth values.
_NO_TEXT = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity)|true|false", re.ASCII | re.IGNORECASE)
_FORMULA = tuple("=+-@")
KEEPS_TEXT = "row that keeps names text"  # has blanks, so that no clip is called so
_WINDOW = 100_000  # rows; pandas looks at 262,144 rows of two columns at a time


def is_missing(name: str) -> bool:
    """Whether pandas takes the name for no value."""
    return name in MISSING


def is_number(name: str) -> bool:
    """Whether pandas takes the name for a number or a truth value if all others of its column are such."""
    return bool(_NO_TEXT.fullmatch(name))


def spoken(sentence: str) -> str:
    """One line that is text for pandas and no formula for a spreadsheet: else a blank is before it. Never empty."""
    text = one_line(trainable(sentence))
    return f" {text}" if not text or text in MISSING or text.startswith(_FORMULA) else text


class SubtitleTable:
    """A table with the columns `name` and `sentence`, in which every name is found as text.

    Among names that are numbers it has rows that are not of clips, called KEEPS_TEXT.
    """

    def __init__(self, file: TextIO) -> None:
        """Writes the heading. `end` is to be called after the last row."""
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(("name", "sentence"))
        self._rows = 0
        self._has_numbers = False

    def add(self, name: str, sentence: str) -> None:
        """One clip's row."""
        self._writer.writerow((name, spoken(sentence)))
        self._rows += 1
        self._has_numbers |= is_number(name)
        if self._rows % _WINDOW == 0:
            self.end()

    def end(self) -> None:
        """What keeps the names of the rows so far text."""
        if self._has_numbers:
            self._writer.writerow((KEEPS_TEXT, " "))
        self._has_numbers = False

"""Layouts of published data sets' tables: which column is what, how a clip's file is named, what the labels mean.

Each is a data file in `layouts/`; no code knows a data set.
"""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath

from pydantic import Field, field_validator

from merrflow.core.datafile import Strict, read
from merrflow.core.errors import InputError
from merrflow.formats.table import Row, column_key, shown

FOLDER = Path(__file__).with_name("layouts")
DEFAULT = "merr"
VOTED = "votes"  # the column of the label that votes.py finds
TIE, NO_VOTES = "a tie of votes", "no votes"  # in it, if they give none


class Form(Strict):
    """One kind of file of a data set: a table with these columns or, with `line`, a text with such lines."""

    # The clip's name, from columns: {column}; {column:05} pads a number; {column:stem} takes a path's last part without
    # its suffix. Several if the files are found under several names.
    clip: list[str] = Field(min_length=1)
    sentence: list[str] = []  # the first of these columns that the table has
    label: str = ""
    votes: Mapping[str, str] = {}  # if there is no such column: those with votes, each with the data set's word for it
    pooled: bool = False  # whether a clip has a row for each annotator
    line: str = ""  # a regular expression whose groups are the columns
    between: str = ""  # what other lines may be

    @field_validator("line", "between")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        return pattern

    @field_validator("clip")
    @classmethod
    def _has_columns(cls, names: list[str]) -> list[str]:
        for name in names:
            for _, column, how, _ in string.Formatter().parse(name):
                if column == "" or (column and not re.fullmatch(r"(0\d)?|stem", how or "")):
                    raise ValueError(f"{name!r} is not a name with {{column}}, {{column:05}} or {{column:stem}}")
        return names

    @property
    def naming(self) -> frozenset[str]:
        """The columns of the clip's name."""
        parts = (part for name in self.clip for part in string.Formatter().parse(name))
        return frozenset(column_key(column) for _, column, _, _ in parts if column)

    def said_in(self, columns: Collection[str]) -> str:
        """The column of the sentence among these; "" if there is none."""
        return next((key for name in self.sentence if (key := column_key(name)) in columns), "")

    def labelled_in(self, columns: Collection[str]) -> str:
        """The column of the label among these, `VOTED` if votes are to be counted; "" if there is none."""
        key = column_key(self.label)
        if key in columns:
            return key
        return VOTED if self.votes and {column_key(name) for name in self.votes} <= set(columns) else ""

    def fits(self, columns: Collection[str]) -> bool:
        """Whether a table with these columns can be read so."""
        named = self.naming <= set(columns)
        return named and not self.line and bool(self.said_in(columns) or self.labelled_in(columns))

    def names(self, row: Row) -> tuple[str, ...]:
        """The clip's possible names. Raises `InputError` if a cell that is needed is blank."""
        return tuple(dict.fromkeys(_filled(name, row) for name in self.clip))


class Layout(Strict):
    """How a data set's tables are read."""

    version: int
    title: str
    encoding: str = ""  # empty: found for each file
    forms: list[Form] = Field(min_length=1)
    labels: Mapping[str, str | None] = {}  # the data set's word -> merrflow's; null: it has none. Empty: taken as it is

    def label_of(self, row: Row, column: str) -> str | None:
        """merrflow's label for a row's; None if it has none. Raises `InputError` for a word that is not listed."""
        word = row.word(column)
        if column == VOTED and word in (TIE, NO_VOTES):
            return None
        if not self.labels or not word:
            return word or None
        meanings = {name.casefold(): meaning for name, meaning in self.labels.items()}
        if word.casefold() not in meanings:
            raise InputError(
                f"{row.place}, column {column}: unknown label {shown(word)}: {self.title} has {', '.join(self.labels)}"
            )
        return meanings[word.casefold()]


def layouts() -> tuple[str, ...]:
    """The names of all layouts."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def load_layout(name: str) -> Layout:
    """Raises `InputError` for a name that is none of `layouts()`."""
    if (name or DEFAULT) not in layouts():
        raise InputError(f"no layout {shown(name)}; there are: {', '.join(layouts())}")
    return read(FOLDER / f"{name or DEFAULT}.yaml", Layout)


def suggestion(columns: Collection[str]) -> str:
    """Which layouts such a table could have, as the end of a message; "" if it is like none."""
    keys = frozenset(map(column_key, columns))
    fitting = [name for name in layouts() if any(form.fits(keys) for form in load_layout(name).forms)]
    named = " or ".join(name for name in fitting if name != DEFAULT)
    return f"; it looks like the layout {named}" if named else ""


def _filled(name: str, row: Row) -> str:
    def parts() -> Iterator[str]:
        for text, column, how, _ in string.Formatter().parse(name):
            yield text
            if column:
                cell = row.cells.get(column_key(column), "")
                if not cell:
                    raise InputError(f"{row.place}: the {column} is blank")
                yield _written(cell, how or "")

    return "".join(parts())


def _written(cell: str, how: str) -> str:
    if how == "stem":
        return PurePosixPath(cell.replace("\\", "/")).stem
    return cell.zfill(int(how)) if how else cell

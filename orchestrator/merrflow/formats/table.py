"""Tables with a line of column names, as spreadsheets, pandas and people write them: CSV, TSV, and with semicolons.

One reader for all tables that people bring. What can only be meant in one way is read; all else is refused with file,
line and value, because a table that is read wrongly gives every clip a wrong sentence or label.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from merrflow.core.errors import InputError, listed
from merrflow.formats.text_encoding import read_text

SUFFIXES = frozenset({".csv", ".tsv"})
MAX_LINE = 100_000  # characters; a line that is longer is not one of a table
MAX_BREAKS = 20  # line breaks in one cell; more are lines that a forgotten quote has swallowed
_SHOWN = 60  # characters of a wrong value in a message
# What pandas and spreadsheets write for "no value". Not "Na" or "nan?": people say these.
_NO_VALUE = frozenset("#N/A #NA <NA> N/A n/a NA NaN nan -nan NAN NULL Null null None none NONE".split())  # noqa: SIM905
_SPREADSHEET_ERRORS = frozenset("#NAME? #REF! #VALUE! #DIV/0! #NUM! #NULL!".split())  # noqa: SIM905


@dataclass(frozen=True)
class Row:
    """One row that is not empty."""

    path: Path
    line: int  # of the file, from 1: its first
    cells: Mapping[str, str]  # by column, see `column_key`; without blanks around them

    @property
    def place(self) -> str:
        """Where the row is, for messages."""
        return f"{self.path}, line {self.line}"

    def cell(self, column: str) -> str:
        """A cell's text, "" if the table does not have the column. Raises `InputError` for a spreadsheet's error."""
        text = self.cells.get(column, "")
        if text in _SPREADSHEET_ERRORS:
            raise InputError(
                f"{self.place}, column {column}: {text} is an error of a spreadsheet, which took the text for a "
                "formula; type it again with an apostrophe (') before it"
            )
        return text

    def word(self, column: str) -> str:
        """A label; "" if the cell is empty or says so. "None" is kept: rule sets know it as a word for neutral."""
        text = self.cell(column)
        return "" if text in _NO_VALUE and text.casefold() != "none" else text

    def said(self, column: str) -> str | None:
        """A sentence; None if the cell is empty or one of the words for "no value", such as nan or None."""
        text = self.cell(column)
        return None if text in _NO_VALUE else text or None


@dataclass(frozen=True)
class Table:
    """A table's columns and rows."""

    path: Path
    columns: tuple[str, ...]  # as they are written, without the unnamed ones
    rows: tuple[Row, ...]

    @property
    def keys(self) -> frozenset[str]:
        """The columns as `Row.cells` has them."""
        return frozenset(map(column_key, self.columns))

    def complete(self, used: Collection[str]) -> Table:
        """The same table. Raises `InputError` if a row has no cell in one of these columns.

        Cells of other columns may be missing at the end of a row: spreadsheets leave them out if they are empty.
        """
        for row in self.rows:
            missing = [name for name in self.columns if (key := column_key(name)) in used and key not in row.cells]
            if missing:
                count = f"{len(row.cells)} cells for {len(self.columns)} columns"
                raise InputError(f"{row.place}: {count}: the cell of {missing[0]!r} is missing")
        return self


def column_key(name: str) -> str:
    """The same for names that differ only in case, blanks, underscores or hyphens: "Video ID" and "video_id"."""
    return re.sub(r"[\s_-]+", "_", name.strip().casefold()).strip("_")


def read_table(path: Path, encoding: str = "") -> Table:
    """All of a table. Blocking. encoding: empty to find it. Raises `InputError` with file, line and value."""
    return parse_table(path, read_text(path, encoding, option="setting table_encoding"))


def parse_table(path: Path, text: str) -> Table:
    """As `read_table`, of the file's text."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, content in enumerate(lines, 1):
        if "\0" in content:
            raise InputError(f"{path}, line {number}: holds a zero byte; the file is damaged")
        if len(content) > MAX_LINE:
            raise InputError(f"{path}, line {number}: longer than {MAX_LINE} characters; this is not a table")
    rows = _rows(path, lines)
    first, header = next(rows, (1, []))
    keys = [column_key(name) for name in header]
    for index, key in enumerate(keys):
        if key and key in keys[:index]:
            raise InputError(
                f"{path}, line {first}: the column {header[index]!r} occurs twice; it has: {listed(header)}"
            )
    last = max((index for index, key in enumerate(keys) if key), default=-1)
    found = []
    for line, cells in rows:
        if extra := next(filter(None, cells[last + 1 :]), ""):
            raise InputError(
                f"{path}, line {line}: {len(cells)} cells for {last + 1} columns: {shown(extra)} is one too many; "
                "a text with commas needs double quotes"
            )
        found.append(Row(path, line, {key: cell for key, cell in zip(keys, cells, strict=False) if key}))
    return Table(path, tuple(filter(None, header)), tuple(found))


def shown(value: str) -> str:
    """A wrong value in a message."""
    return repr(value) if len(value) <= _SHOWN else repr(value[:_SHOWN]) + "..."


def _rows(path: Path, lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, with the number of their first line; cells without blanks around them."""
    begin = next((index for index, line in enumerate(lines) if line.strip()), len(lines))
    delimiter = ""
    if begin < len(lines) and (named := re.fullmatch(r'"?sep=(.)"?[,;\t]*', lines[begin].strip(" "), re.IGNORECASE)):
        delimiter, begin = named[1], begin + 1
        begin = next((index for index in range(begin, len(lines)) if lines[index].strip()), len(lines))
    if begin == len(lines):
        return
    delimiter = delimiter or _delimiter(lines[begin])
    source = (line + "\n" for line in lines[begin:])
    reader = csv.reader(source, delimiter=delimiter, strict=True, skipinitialspace=delimiter != " ")
    start, columns = begin, 0
    try:
        for row in reader:
            line, start = start + 1, begin + reader.line_num
            columns = columns or len(row)
            for cell in row:
                if cell.count("\n") > MAX_BREAKS:
                    raise InputError(f"{path}, line {line}: a cell of more than {MAX_BREAKS} lines; {_UNCLOSED}")
                if inner := next((part for part in cell.split("\n")[1:] if _is_row(part, delimiter, columns)), ""):
                    raise InputError(f"{path}, line {line}: a cell holds {shown(inner)}, which is a row; {_UNCLOSED}")
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield line, cells
    except csv.Error as error:
        raise InputError(f"{path}, line {start + 1}: not a CSV table ({error}); {_UNCLOSED}") from error


def _is_row(line: str, delimiter: str, columns: int) -> bool:
    """Whether a line within a cell is a row that a forgotten quote has swallowed: text has blanks after its commas."""
    cells = line.split(delimiter)
    plain = not any(character.isspace() for character in cells[0])
    return len(cells) == columns > 1 and plain and not any(cell.startswith(" ") for cell in cells)


_UNCLOSED = 'is a double quote not closed? Within a quoted text, write each double quote twice ("")'


def _delimiter(header: str) -> str:
    """What separates the column names: the commonest of comma, tab and semicolon outside quotes."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(",\t;", key=bare.count)

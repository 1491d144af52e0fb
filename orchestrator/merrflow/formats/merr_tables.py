"""Reads MERR's TXT (`name frame_count label` in a line) and tables of labels and sentences, also of other data sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from merrflow.core.errors import InputError, listed
from merrflow.formats.layout import Form, Layout, load_layout, suggestion
from merrflow.formats.merr_annotation import NUMBER, MerrAnnotation, shown
from merrflow.formats.table import Row, Table, column_key, parse_table
from merrflow.formats.text_encoding import read_text
from merrflow.formats.votes import counted

_SCORE = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|-?(nan|inf)", re.IGNORECASE)


def read_tables(path: Path, layout: str = "", encoding: str = "") -> Iterator[MerrAnnotation]:
    """The clips of a table or a TXT in the file's order. Raises `InputError`.

    layout: a name of `layouts()`, empty for MERR's. encoding: empty to find it.
    """
    how = load_layout(layout)
    text = read_text(path, encoding or how.encoding, option="setting table_encoding")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for kind in how.forms:
        if kind.line and any(re.fullmatch(kind.line, line.rstrip()) for line in lines):
            return _annotations(kind, how, _matched(path, kind, lines))
    if path.suffix.lower() == ".txt" and not layout and not _has_header(lines):
        return _txt(path, lines)
    table = parse_table(path, text)
    form = next((form for form in how.forms if form.fits(table.keys)), None)
    if form is None:
        raise InputError(_no_columns(path, how, layout, table))
    needed = {*form.naming, form.said_in(table.keys), form.labelled_in(table.keys)}
    return _annotations(form, how, counted(table.complete(needed), form))


def _annotations(form: Form, layout: Layout, table: Table) -> Iterator[MerrAnnotation]:
    said, labelled = form.said_in(table.keys), form.labelled_in(table.keys)
    for row in table.rows:
        name, *others = form.names(row)
        label = layout.label_of(row, labelled) if labelled else None
        yield MerrAnnotation(
            name,
            label=label,
            sentence=row.said(said) if said else None,
            line=row.line,
            other_names=tuple(others),
            unlike=row.word(labelled) if labelled and not label else "",
        )


def _matched(path: Path, form: Form, lines: list[str]) -> Table:
    """The table that lines of text make."""
    rows = []
    for number, line in enumerate(lines, 1):
        if match := re.fullmatch(form.line, line.rstrip()):
            cells = {column_key(name): (value or "").strip() for name, value in match.groupdict().items()}
            rows.append(Row(path, number, cells))
        elif line.strip() and not re.fullmatch(form.between, line.strip()):
            raise InputError(f"{path}, line {number}: {shown(line.strip())} is no line of such a file")
    return Table(path, tuple(re.compile(form.line).groupindex), tuple(rows))


def _has_header(lines: list[str]) -> bool:
    """Whether a TXT is a table, as Excel's "Unicode Text" is."""
    first = next((line for line in lines if line.strip()), "")
    return "name" in map(column_key, re.split(r"[\t,;]", first.replace('"', "")))


def _no_columns(path: Path, how: Layout, layout: str, table: Table) -> str:
    has = f"it has: {listed(table.columns)}{suggestion(table.columns)}"
    if not layout:
        return f"{path}: the table needs the columns `name` and `sentence` or `label`; {has}"
    forms = " or ".join(
        ", ".join([*sorted(form.naming), "/".join([*form.sentence, *([form.label] if form.label else [])])])
        for form in how.forms
        if not form.line
    )
    return f"{path}: a table of {how.title} has the columns {forms}; {has}"


def _txt(path: Path, lines: list[str]) -> Iterator[MerrAnnotation]:
    """MERR's TXT. A fourth column, the score of published copies, is not read."""
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        if len(words) not in (3, 4) or (len(words) == 4 and not _SCORE.fullmatch(words[3])):
            raise InputError(
                f"{path}, line {number}: must be `name frame_count label`, perhaps with a score, "
                f"not {shown(line.strip())}"
            )
        name, frames, label = words[:3]
        if not NUMBER.fullmatch(frames):
            raise InputError(f"{path}, line {number}: clip {name!r}: {shown(frames)} is not a number of frames")
        yield MerrAnnotation(name, label=label, frame_count=int(frames), line=number)

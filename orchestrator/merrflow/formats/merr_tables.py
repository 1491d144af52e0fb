"""Reads MERR's TXT (`name frame_count label` in a line) and tables of labels and sentences (CSV)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from merrflow.core.errors import InputError, listed
from merrflow.formats.merr_annotation import NUMBER, MerrAnnotation, read_text, sentence, shown


def read_txt(path: Path) -> Iterator[MerrAnnotation]:
    """The clips in the file's order. Raises `InputError`."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 3:
            raise InputError(f"{path}, line {number}: must be `name frame_count label`, not {shown(line.strip())}")
        name, frames, label = words
        if not NUMBER.fullmatch(frames):
            raise InputError(f"{path}, line {number}: clip {name!r}: {shown(frames)} is not a number of frames")
        yield MerrAnnotation(name, label=label, frame_count=int(frames), line=number)


def read_csv(path: Path) -> Iterator[MerrAnnotation]:
    """The clips in the file's order, from the columns `name`, `sentence` and `label`. Raises `InputError`."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        columns = [column.strip() for column in reader.fieldnames or ()]
        if "name" not in columns or not {"sentence", "label"} & set(columns):
            raise InputError(
                f"{path}: the table needs the columns `name` and `sentence` or `label`; it has: {listed(columns)}"
            )
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if twice:
            raise InputError(f"{path}, line 1: the column {twice[0]!r} occurs twice")
        reader.fieldnames = columns
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                cells = sum(value is not None for key, value in row.items() if key is not None)
                cells += len(row.get(None) or ())
                raise InputError(
                    f"{place}: {cells} cells for {len(columns)} columns; a text with commas needs double quotes"
                )
            if not row["name"].strip():
                raise InputError(f"{place}: the name is blank")
            yield MerrAnnotation(
                row["name"].strip(),
                label=(row.get("label") or "").strip() or None,
                sentence=sentence(row.get("sentence")),
                line=reader.line_num,
            )
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not a CSV table ({error})") from error

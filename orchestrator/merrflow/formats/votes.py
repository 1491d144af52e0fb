"""Tables that have annotators' votes instead of one label: the commonest is the label, and a tie is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from merrflow.core.errors import InputError
from merrflow.formats.layout import NO_VOTES, TIE, VOTED, Form
from merrflow.formats.table import Row, Table, column_key, shown


def counted(table: Table, form: Form) -> Table:
    """The table with a column `VOTED`, if the label is not given; the rows of one clip become one if they are pooled.

    Raises `InputError` for votes that are no numbers.
    """
    if form.labelled_in(table.keys) != VOTED:
        return table
    clips: dict[object, tuple[Row, dict[str, float]]] = {}
    for row in table.rows:
        clip: object = form.names(row) if form.pooled else row.line
        _, votes = clips.setdefault(clip, (row, dict.fromkeys(form.votes.values(), 0.0)))
        for column, word in form.votes.items():
            votes[word] += _number(row, column_key(column))
    rows = [replace(row, cells={**row.cells, VOTED: _winner(votes)}) for row, votes in clips.values()]
    return Table(table.path, (*table.columns, VOTED), tuple(rows))


def _winner(votes: Mapping[str, float]) -> str:
    most = max(votes.values())
    best = [word for word, number in votes.items() if math.isclose(number, most)]
    if most <= 0:
        return NO_VOTES
    return best[0] if len(best) == 1 else TIE


def _number(row: Row, column: str) -> float:
    """Blank is 0. Raises `InputError`."""
    text = row.cell(column)
    try:
        number = float(text or 0)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise InputError(f"{row.place}, column {column}: {shown(text)} is no number of votes")
    return number

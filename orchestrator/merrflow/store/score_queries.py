"""How good the texts of records are: one row for each clip and judge, replaced when text or judge is another."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from merrflow.store.tables import SCORES
from merrflow.store.transactions import Transactions

_PAGE = 500  # rows that are read at once
_KEY = ("clip", "judge")
_VALUES = ("text", "version", "found")


@dataclass(frozen=True)
class ScoreRow:
    """What one judge found of one clip's text."""

    clip: str
    judge: str
    text: str  # digest of the text and of what it was judged by
    version: str  # of the judge
    found: str  # JSON


class ScoreQueries(Transactions):
    """Adds and reads scores. Any number of processes at once."""

    def put_scores(self, rows: Sequence[ScoreRow]) -> None:
        """All of them or none; those of the same clip and judge are replaced."""
        if rows:
            self._do(lambda db: self._upsert(db, SCORES, [asdict(row) for row in rows], _KEY, _VALUES))

    def scores(self, judges: Collection[str] | None = None) -> Iterator[ScoreRow]:
        """Every row by clip and judge, read in pieces. judges: of these alone (None: all)."""
        at = sa.tuple_(SCORES.c.clip, SCORES.c.judge)
        query = sa.select(SCORES).order_by(SCORES.c.clip, SCORES.c.judge).limit(_PAGE)
        if judges is not None:
            query = query.where(SCORES.c.judge.in_(list(judges)))
        last = ("", "")
        while rows := self._rows(query.where(at > sa.tuple_(*last))):
            for row in rows:
                yield ScoreRow(*(str(value) for value in row))
            if (end := (rows[-1].clip, rows[-1].judge)) <= last:  # damaged
                return
            last = end

    def scored(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Clip and judge -> digest of the text and the judge's version: what need not be judged again."""
        rows = self._rows(sa.select(SCORES.c.clip, SCORES.c.judge, SCORES.c.text, SCORES.c.version))
        return {(row.clip, row.judge): (row.text, row.version) for row in rows}

    def scores_state(self) -> str:
        """Changes with every score; "" if there is none."""
        known = sorted(self.scored().items())
        return hashlib.sha256(repr(known).encode(errors="surrogatepass")).hexdigest()[:32] if known else ""

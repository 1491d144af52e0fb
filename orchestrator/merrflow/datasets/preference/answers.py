"""What people and models answered, as rows of the ledger of B: each is on the disk before it counts as saved.

A row belongs to a clip's bytes, to both texts and to the order in which they were shown, so a text that changed since
is asked about again, and nothing else is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from merrflow.datasets.preference.pairs import Pair
from merrflow.store import UNDO, Ledger, NotYours, VerdictRow, live

_ROOT = "compare"  # what the rows' `audit` begins with, which keeps them apart from verdicts of reviews and audits


class By(StrEnum):
    """Who is asked."""

    PEOPLE = "people"
    MODEL = "model"


class Order(StrEnum):
    """Which text was shown first."""

    AB = "ab"
    BA = "ba"

    @property
    def other(self) -> Order:
        return Order.BA if self is Order.AB else Order.AB


class Choice(StrEnum):
    """Which run's text is better."""

    A = "a"
    B = "b"
    SAME = "same"


@dataclass(frozen=True)
class Answer:
    """One answer to one pair, shown in one order."""

    pair: str
    by: By
    judge: str  # a reviewer's name, or what a model is
    order: Order
    choice: Choice
    id: int = 0  # of the row

    @property
    def first(self) -> bool:
        """Whether the text that was shown first was chosen."""
        return self.choice.value == self.order.value[0]


def chosen(order: Order, place: str) -> Choice:
    """The run whose text was in this place. place: "first", "second" or "same"."""
    if place == "same":
        return Choice.SAME
    return Choice(order.value[0 if place == "first" else 1])


class Answers:
    """The answers to the pairs of one comparison. Safe to use from several threads. Blocking."""

    def __init__(self, ledger: Ledger, pairs: Iterable[Pair]) -> None:
        self._ledger = ledger
        self._pairs: Mapping[str, Pair] = {pair.id: pair for pair in pairs}
        self._lock = threading.Lock()
        self._seen = 0  # id of the last row that was read
        self._rows: list[VerdictRow] = []

    def all(self) -> list[Answer]:
        """Each judge's last answer to each pair in each order, in the order in which they were given."""
        with self._lock:
            if new := self._ledger.verdicts(self._seen):
                self._seen = new[-1].id
                self._rows += [row for row in new if row.audit.startswith(f"{_ROOT}/")]
            found = live(self._rows)
        return [answer for row in found if (answer := _read(row)) and answer.pair in self._pairs]

    def keep(self, answer: Answer, key: str) -> int:
        """Adds it, once for each `key`, and returns its row's id. Raises `ClipGone` if B has other bytes by now."""
        return self._ledger.say(self._row(answer, answer.choice.value, key)).id

    def undo(self, pair: Pair, reviewer: str, order: Order, key: str) -> int:
        """Takes a person's answer back. Raises `NotYours` if there is none, `ClipGone`."""
        rows = [row for row in self._ledger.verdicts(clip=pair.b.name) if row.audit == _place(By.PEOPLE, pair, order)]
        if done := next((row for row in rows if row.key == key), None):  # sent again after a break
            return done.id
        mine = next((row for row in live(rows) if row.reviewer == reviewer), None)
        if mine is None:
            raise NotYours(pair.b.name)
        row = VerdictRow(mine.clip, mine.sha256, reviewer, UNDO, "{}", key, mine.audit, undoes=mine.id)
        return self._ledger.say(row).id

    def _row(self, answer: Answer, kind: str, key: str) -> VerdictRow:
        pair = self._pairs[answer.pair]
        place = _place(answer.by, pair, answer.order)
        return VerdictRow(pair.b.name, pair.sha256, answer.judge, kind, "{}", key, place)


def _place(by: By, pair: Pair, order: Order) -> str:
    return f"{_ROOT}/{by}/{pair.id}/{order}"


def _read(row: VerdictRow) -> Answer | None:
    """None for a row of a newer version."""
    try:
        _, by, pair, order = row.audit.split("/")
        return Answer(pair, By(by), row.reviewer, Order(order), Choice(row.kind), row.id)
    except ValueError:
        return None

"""What the page works with: which pair a reviewer is shown next, and in which order. No HTTP in here."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merrflow.core.fingerprint import fraction
from merrflow.datasets.preference.answers import Answer, Answers, By, Order, chosen
from merrflow.datasets.preference.pairs import Matching, Pair, picture_of
from merrflow.store import Ledger

BETWEEN = 20  # other pairs, if there are so many, before one is shown again the other way round
_REMEMBERED = 16  # reviewers whose turns are kept in memory


class UnknownPair(Exception):
    """No pair has this id, or its texts are others by now."""


@dataclass(frozen=True)
class Showing:
    """A pair as it is shown."""

    pair: Pair
    order: Order
    again: bool = False  # in the other order, after the reviewer has answered it once


class CompareDesk:
    """Safe to use from several threads. Blocking."""

    def __init__(
        self, ledgers: tuple[Ledger, Ledger], matching: Matching, pairs: Sequence[Pair], seed: int, again: float
    ) -> None:
        """ledgers: of A and of B. pairs: those of the matching to be judged. again: share shown in both orders."""
        self._ledgers = ledgers
        self._matching = matching
        self._pairs: Mapping[str, Pair] = {pair.id: pair for pair in pairs if not pair.identical}
        self._seed, self._again = seed, again
        self._answers = Answers(ledgers[1], self._pairs.values())
        self._lock = threading.Lock()
        self._turns: dict[str, Sequence[Showing]] = {}  # reviewer -> all showings

    def __len__(self) -> int:
        """Pairs to judge."""
        return len(self._pairs)

    def queue(self, reviewer: str, limit: int) -> dict[str, Any]:
        """The reviewer's next pairs, how far they are, and their last answer, which can be taken back."""
        mine = [one for one in self._answers.all() if one.by is By.PEOPLE and one.judge == reviewer]
        given: dict[str, set[Order]] = {}
        for one in mine:
            given.setdefault(one.pair, set()).add(one.order)
        showings = self._turns_of(reviewer)
        ahead = [found for one in showings if (found := self._open(one, given.get(one.pair.id, set())))]
        last = max(mine, key=lambda one: one.id) if mine else None
        return {
            "total": len(showings),
            "done": len(showings) - len(ahead),
            "next": [_shown(one) for one in ahead[:limit]],
            "last": _shown(Showing(self._pairs[last.pair], last.order)) if last else None,
        }

    def answer(self, pair: str, left: str, right: str, reviewer: str, place: str, key: str) -> int:
        """Keeps an answer. left, right: digests of the texts as they were shown. place: "first" for the left one,
        "second", or "same". Returns its row's id. Raises `UnknownPair`, `ClipGone`."""
        found = self.pair(pair)
        order = _order(found, left, right)
        answer = Answer(found.id, By.PEOPLE, reviewer, order, chosen(order, place))
        return self._answers.keep(answer, key)

    def undo(self, pair: str, left: str, right: str, reviewer: str, key: str) -> int:
        """Takes the reviewer's answer back. Raises `UnknownPair`, `NotYours`, `ClipGone`."""
        found = self.pair(pair)
        return self._answers.undo(found, reviewer, _order(found, left, right), key)

    def pair(self, pair: str) -> Pair:
        """Raises `UnknownPair`."""
        try:
            return self._pairs[pair]
        except KeyError:
            raise UnknownPair(pair) from None

    def films(self, pair: str) -> Iterator[Path]:
        """Where the clip's file may be: B's, then A's. Raises `UnknownPair`."""
        found = self.pair(pair)
        for ledger, side in zip(reversed(self._ledgers), (found.b, found.a), strict=True):
            if path := ledger.place(side.name):
                yield path

    def pictures(self, pair: str) -> Iterator[Path]:
        """Where the picture of its peak frame may be."""
        found = self.pair(pair)
        yield picture_of(self._matching.b, found.b.name)
        yield picture_of(self._matching.a, found.a.name)

    def _turns_of(self, reviewer: str) -> Sequence[Showing]:
        with self._lock:
            if reviewer not in self._turns:
                self._turns[reviewer] = tuple(self._showings(reviewer))
                while len(self._turns) > _REMEMBERED:
                    del self._turns[next(iter(self._turns))]
            return self._turns[reviewer]

    def _showings(self, reviewer: str) -> Iterator[Showing]:
        """All of a reviewer's, in an order of their own; what is shown again comes a while after the first time."""
        mixed = sorted(self._pairs.values(), key=lambda pair: fraction("compare turn", self._seed, reviewer, pair.id))
        placed = []
        for number, pair in enumerate(mixed):
            order = Order.AB if fraction("compare order", self._seed, reviewer, pair.id) < 0.5 else Order.BA
            placed.append((float(number), Showing(pair, order)))
            if fraction("compare again", self._seed, reviewer, pair.id) < self._again:
                placed.append((number + BETWEEN + 0.5, Showing(pair, order.other, again=True)))
        for _, showing in sorted(placed, key=lambda one: one[0]):
            yield showing

    @staticmethod
    def _open(showing: Showing, given: set[Order]) -> Showing | None:
        """As it is to be shown; None if it is answered. Another seed may have begun with the other order."""
        if not showing.again:
            return None if given else showing
        if len(given) == len(Order):
            return None
        return Showing(showing.pair, next(iter(given)).other, True) if given else showing


def _order(pair: Pair, left: str, right: str) -> Order:
    shown = {(pair.a.digest, pair.b.digest): Order.AB, (pair.b.digest, pair.a.digest): Order.BA}
    try:
        return shown[left, right]
    except KeyError:
        raise UnknownPair(pair.id) from None


def _shown(showing: Showing) -> dict[str, Any]:
    """What the page gets: nothing that says which run a text is of."""
    pair = showing.pair
    sides = (pair.a, pair.b) if showing.order is Order.AB else (pair.b, pair.a)
    left, right = ({"text": side.text, "digest": side.digest} for side in sides)
    return {"id": pair.id, "name": pair.b.name, "left": left, "right": right}

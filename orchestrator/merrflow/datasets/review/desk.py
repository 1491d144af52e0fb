"""What the page works with: the list of records, and what everybody has said so far. No HTTP in here."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from merrflow.datasets.entries import RECORDS
from merrflow.datasets.kept_faces import STAGE as FACES
from merrflow.datasets.review.agreement import agreement, cohen
from merrflow.datasets.review.audit import Audit
from merrflow.datasets.review.details import details, hidden, is_of
from merrflow.datasets.review.index import Item, by_doubt, item_id, read_items, shuffled
from merrflow.datasets.review.verdicts import REJECTED, Kind, Said, Verdict, by_clip, standing
from merrflow.facs import load_rules
from merrflow.store import UNDO, Ledger, NotYours, VerdictRow

PAGE = 200  # rows of the list in one answer
_SNAPSHOTS = 16  # filtered lists that are kept for those who scroll


class UnknownClip(Exception):
    """No record has this id."""


@dataclass(frozen=True)
class Query:
    """What of the list is asked for. Empty: all."""

    reviewer: str
    sort: Literal["doubt", "name"] = "doubt"
    label: str = ""
    outcome: str = ""
    standing: str = ""
    disagree: bool = False
    mine: Literal["", "open", "said"] = ""  # without or with a verdict of this reviewer
    people: Literal["", "differ", "rejected"] = ""  # reviewers differ, or somebody rejected it
    text: str = ""  # part of a name
    blind: bool = False
    as_of: int = -1  # what `listing` said before: the same rows, whatever was said since. -1: as of now
    offset: int = 0
    limit: int = PAGE


class Desk:
    """Safe to use from several threads. Blocking."""

    def __init__(self, ledger: Ledger, out: Path, audit: Audit | None = None) -> None:
        """Reads all records. audit: only its clips are shown, and blind."""
        self.out = out
        self.audit = audit
        self._ledger = ledger
        self._lock = threading.Lock()
        self._rows: list[VerdictRow] = []
        self._said: dict[str, dict[str, Verdict]] = {}  # clip -> reviewer -> last word
        items = read_items(ledger)
        if audit:
            known = (item_id(one.name) for one in audit.drawn)
            items = {one: items[one] for one in known if one in items}
        self._items = items
        self._doubtful = by_doubt(list(items.values()))
        self._named = sorted(items.values(), key=lambda item: item.name)
        self._bytes = {item.name: item.sha256 for item in self._named}
        self._blind: dict[str, list[Item]] = {}
        self._snapshots: dict[Query, Sequence[Item]] = {}

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that may be given: those of the default rules, and those that records have."""
        known = load_rules("default").labels
        return (*known, *sorted({item.label for item in self._items.values()} - set(known)))

    def about(self) -> dict[str, Any]:
        """What the page asks once."""
        items = self._items.values()
        return {
            "title": self.out.resolve().name,
            "audit": bool(self.audit),
            "total": len(items),
            "labels": self.labels,
            "outcomes": sorted({item.outcome for item in items}),
            "standings": sorted({item.standing for item in items if item.standing}),
        }

    def listing(self, query: Query) -> dict[str, Any]:
        """The rows from `offset` on, and how many there are in all."""
        said, blind = self._refreshed(), query.blind or bool(self.audit)
        key = replace(query, offset=0, limit=0, as_of=self._version if query.as_of < 0 else query.as_of)
        found = self._snapshot(key)
        if found is None:
            found = [item for item in self._ordered(query, blind) if self._fits(item, query, said, blind)]
            self._keep_snapshot(key, found)
        rows = found[query.offset : query.offset + min(query.limit, PAGE)]
        shown = [self._row(item, query.reviewer, said, blind) for item in rows]
        return {"total": len(found), "as_of": key.as_of, "rows": shown}

    def one(self, clip: str, reviewer: str, blind: bool) -> dict[str, Any]:
        """All that the page shows of a clip; in blind mode without its label until the reviewer said one.

        Raises `UnknownClip`, also for one whose record is gone.
        """
        item, said = self.item(clip), self._refreshed()
        row = self._ledger.record(item.name)
        if row is None:
            raise UnknownClip(clip)
        record = RECORDS.validate_json(row.payload)
        found = details(record, row, self._ledger.newest(item.name, FACES, partial(is_of, record)))
        of_clip = said.get(item.name, {})
        mine = of_clip.get(reviewer)
        covered = (blind or bool(self.audit)) and mine is None
        others = [_spoken(one) for name, one in of_clip.items() if name != reviewer]
        return {
            "id": clip,
            **(hidden(found) if covered else found),
            "covered": covered,
            "mine": _spoken(mine) if mine else None,
            "others": [] if covered or (self.audit and not mine) else others,
        }

    def say(self, clip: str, sha256: str, reviewer: str, key: str, kind: Kind, said: Said) -> VerdictRow:
        """Commits a verdict. sha256: of the clip as it was shown. Raises `UnknownClip`, `ClipGone`, `ValueError`."""
        item = self.item(clip)
        if kind is Kind.KEEP and said.label not in self.labels:
            raise ValueError(f"{said.label!r} is not a label of this dataset; the labels are: {', '.join(self.labels)}")
        if said.peak is not None and said.peak >= item.frames:
            raise ValueError(f"the clip has no frame {said.peak}; its last is {item.frames - 1}")
        row = VerdictRow(item.name, sha256, reviewer, kind, said.model_dump_json(), key, self._audit)
        return self._ledger.say(row)

    def undo(self, clip: str, reviewer: str, key: str) -> VerdictRow:
        """Takes back the reviewer's last word on the clip. Raises `UnknownClip`, `NotYours`, `ClipGone`."""
        item = self.item(clip)
        mine = self._refreshed().get(item.name, {}).get(reviewer)
        if done := next((row for row in reversed(self._rows) if row.key == key), None):  # sent again after a break
            return done
        if mine is None:
            raise NotYours(clip)
        row = VerdictRow(item.name, mine.sha256, reviewer, UNDO, "{}", key, self._audit, undoes=mine.id)
        return self._ledger.say(row)

    def progress(self, reviewer: str) -> dict[str, Any]:
        """How far everybody is, and how far they agree; in an audit only how far they are."""
        said = self._refreshed()
        verdicts = [one for of_clip in said.values() for one in of_clip.values()]
        counts = Counter(one.reviewer for one in verdicts)
        found: dict[str, Any] = {
            "total": len(self._items),
            "clips": sum(bool(of_clip) for of_clip in said.values()),
            "mine": counts[reviewer],
            "reviewers": dict(counts.most_common()),
            "version": self._version,
        }
        if self.audit:
            return found
        people = agreement(verdicts)
        names = {item.name: item.label for item in self._items.values()}
        with_record = [(one.category, names[one.clip]) for one in verdicts if one.clip in names and one.said.blind]
        return found | {
            "several": people.clips,
            "fleiss": people.fleiss,
            "pairs": [vars(pair) for pair in people.pairs],
            "blind": {
                "verdicts": len(with_record),
                "same": sum(a == b for a, b in with_record),
                "kappa": cohen(with_record),
            },
        }

    def version(self) -> int:
        """Another one whenever somebody, also in another process, said something."""
        self._refreshed()
        return self._version

    def item(self, clip: str) -> Item:
        """The line of an id. Raises `UnknownClip`."""
        try:
            return self._items[clip]
        except KeyError:
            raise UnknownClip(clip) from None

    def file(self, clip: str) -> Path | None:
        """Where the clip's file is now. Raises `UnknownClip`."""
        return self._ledger.place(self.item(clip).name)

    @property
    def _audit(self) -> str:
        return self.audit.id if self.audit else ""

    def _refreshed(self) -> dict[str, dict[str, Verdict]]:
        """With what other processes committed meanwhile."""
        with self._lock:
            new = self._ledger.verdicts(self._rows[-1].id if self._rows else 0)
            self._rows += new
            if changed := {row.clip for row in new}:
                rows = [row for row in self._rows if row.clip in changed]
                found = by_clip(standing(rows, self._audit))
                for clip in changed:
                    self._said[clip] = {
                        one.reviewer: one for one in found.get(clip, ()) if one.sha256 == self._bytes.get(clip)
                    }
            return dict(self._said)

    @property
    def _version(self) -> int:
        return self._rows[-1].id if self._rows else 0

    def _snapshot(self, key: Query) -> Sequence[Item] | None:
        with self._lock:
            return self._snapshots.get(key)

    def _keep_snapshot(self, key: Query, found: Sequence[Item]) -> None:
        """Rows do not move under somebody who scrolls through clips that have no verdict yet."""
        with self._lock:
            self._snapshots[key] = found
            while len(self._snapshots) > _SNAPSHOTS:
                del self._snapshots[next(iter(self._snapshots))]

    def _ordered(self, query: Query, blind: bool) -> Sequence[Item]:
        if not blind:
            return self._named if query.sort == "name" else self._doubtful
        seed = self._audit or query.reviewer
        with self._lock:
            if seed not in self._blind:
                self._blind = {seed: shuffled(self._named, seed)}  # of the last one who asked: it is quickly made
            return self._blind[seed]

    def _fits(self, item: Item, query: Query, said: dict[str, dict[str, Verdict]], blind: bool) -> bool:
        of_clip = said.get(item.name, {})
        if query.mine and (query.reviewer in of_clip) != (query.mine == "said"):
            return False
        if query.text and query.text.casefold() not in item.name.casefold():
            return False
        if blind:  # what follows would give the label away
            return True
        if query.people:
            categories = {one.category for one in of_clip.values()}
            if not (len(categories) > 1 if query.people == "differ" else REJECTED in categories):
                return False
        return (
            (not query.label or item.label == query.label)
            and (not query.outcome or item.outcome == query.outcome)
            and (not query.standing or item.standing == query.standing)
            and (not query.disagree or item.disagree)
        )

    @staticmethod
    def _row(item: Item, reviewer: str, said: dict[str, dict[str, Verdict]], blind: bool) -> dict[str, Any]:
        of_clip = said.get(item.name, {})
        mine = of_clip.get(reviewer)
        found = {
            "id": item.id,
            "name": item.name,
            "seconds": round(item.seconds, 1),
            "mine": mine.category if mine else None,
            "others": len(of_clip) - bool(mine),
        }
        if blind and mine is None:
            return found
        return found | {"label": item.label, "outcome": item.outcome, "standing": item.standing}


def _spoken(one: Verdict) -> dict[str, Any]:
    return {"reviewer": one.reviewer, "kind": one.kind, "row": one.id, **one.said.model_dump(mode="json")}

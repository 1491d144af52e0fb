"""Witnesses of labels that could judge none of a folder's records."""

from __future__ import annotations

from merrflow.datasets.entries import Entry
from merrflow.datasets.export.writer import Writer
from merrflow.stages.witnesses.case import failure


class FailedWitnesses(Writer):
    """Says once of each what is wrong. Records are made without its votes."""

    def __init__(self) -> None:
        super().__init__()
        self._failed: dict[str, str] = {}  # witness -> why, the first time
        self._judged: set[str] = set()

    def add(self, entry: Entry) -> str:
        standing = entry.record.label.standing
        for vote in standing.votes if standing else ():
            if why := failure(vote):
                self._failed.setdefault(vote.witness, why)
            else:
                self._judged.add(vote.witness)
        return ""

    def finish(self) -> tuple[str, ...]:
        return tuple(
            f"the witness {witness} could judge no label, and records go on without it: {why}"
            for witness, why in self._failed.items()
            if witness not in self._judged
        )

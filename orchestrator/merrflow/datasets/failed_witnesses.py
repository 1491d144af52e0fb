"""Witnesses that could not be heard: of labels, that could judge none of a folder's records; and second engines that
gave no answer."""

from __future__ import annotations

from collections import Counter

from merrflow.core.records import Outcome
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.writer import Writer
from merrflow.stages.witnesses.case import failure


class FailedWitnesses(Writer):
    """Says once of each what is wrong. Records are made without them."""

    def __init__(self) -> None:
        super().__init__()
        self._failed: dict[str, str] = {}  # witness of labels -> why, the first time
        self._judged: set[str] = set()
        self._silent: Counter[str] = Counter()  # second engine -> records that it did not answer for
        self._again: Counter[str] = Counter()  # the same, of those that the next run asks it for
        self._why: dict[str, str] = {}

    def add(self, entry: Entry) -> str:
        standing = entry.record.label.standing
        for vote in standing.votes if standing else ():
            if why := failure(vote):
                self._failed.setdefault(vote.witness, why)
            else:
                self._judged.add(vote.witness)
        said = [one for of_stage in entry.record.witnesses.values() for one in of_stage]
        without = {one.witness: one for one in said if one.again or one.outcome is Outcome.FAILED}
        self._silent.update(without.keys())
        self._again.update(name for name, one in without.items() if one.again)
        self._why |= {name: one.reason or one.unmeasured for name, one in without.items()}
        return ""

    def finish(self) -> tuple[str, ...]:
        of_labels = [
            f"the witness {witness} could judge no label, and records go on without it: {why}"
            for witness, why in self._failed.items()
            if witness not in self._judged
        ]
        return (*of_labels, *(self._remark(witness) for witness in sorted(self._silent)))

    def _remark(self, witness: str) -> str:
        records, again = self._silent[witness], self._again[witness]
        then = "; the next run asks it again" if again == records else f"; the next run asks it again for {again}"
        return (
            f"the witness {witness} lacks answers for {records} record{'s' if records > 1 else ''}"
            f"{then if again else ''}: {self._why[witness]}"
        )

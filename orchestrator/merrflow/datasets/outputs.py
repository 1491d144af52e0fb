"""All output files of a folder, and how its run went, from the ledger alone."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from merrflow.core.errors import listed
from merrflow.core.records import Outcome
from merrflow.datasets.costs import Prices
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.everything import write_all
from merrflow.datasets.export.writer import Writer
from merrflow.datasets.failed_witnesses import FailedWitnesses
from merrflow.datasets.outputs_state import read_stamp, write_stamp
from merrflow.datasets.pictures import FOLDER, Pictures
from merrflow.store import Ledger

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Summary:
    """How a run ended."""

    out: Path
    clips: int
    outcomes: dict[str, int]  # outcome -> clips of this run
    labels: dict[str, int]  # label -> records in the output folder
    coarse: int  # records in the output folder's MERR files
    fine: int
    try_again: int  # clips that failed for a reason that may pass; the next run tries them again
    unfinished: int  # clips without an outcome
    worked: int  # clips that this run worked on; the rest was done before
    problems: tuple[tuple[str, str], ...]  # (clip, reason) of those that failed
    remarks: tuple[str, ...] = ()  # on the output folder as a whole, such as a witness that could judge nothing

    @property
    def complete(self) -> bool:
        """Every clip has an outcome that will stay."""
        return not (self.unfinished or self.try_again)


def write_outputs(
    ledger: Ledger,
    out: Path,
    names: set[str] | None = None,
    worked: int = 0,
    *,
    unless_current: bool = False,
    prices: Prices | None = None,
    also: Sequence[Writer] = (),
) -> Summary:
    """Every output file of a folder, from its ledger alone, and what pictures are damaged, from their clips. Blocking.

    names: the clips to sum up (None: all). unless_current: leaves files alone that were written of just this state
    of the ledger, and were not touched since. prices: for the report's table of what endpoints took. also: more writers
    to be fed in the same pass.
    """
    state = ledger.state()  # before they are read: what comes in meanwhile makes it another one
    written = read_stamp(out, state) if unless_current else None
    if written is None:
        # The report takes a while to import, and a run begins, or finds nothing to do, without it.
        from merrflow.datasets.report import write_report
        from merrflow.datasets.report.survey import Surveyor

        surveyor, pictures = Surveyor(ledger), _PictureCheck(Pictures(out / FOLDER))
        written = write_all(ledger, out, also=[surveyor, pictures, FailedWitnesses(), *also])
        write_report(ledger, out, surveyor.survey(prices))
        if not pictures.lost:  # else the next run tries to make them again
            write_stamp(out, state, written)
    rows = [row for row in ledger.statuses() if names is None or row.name in names]
    return Summary(
        out=out,
        clips=len(rows),
        outcomes=dict(Counter(str(row.outcome) for row in rows if row.outcome)),
        labels=written.labels,
        coarse=written.coarse,
        fine=written.fine,
        try_again=sum(row.retry for row in rows),
        unfinished=sum(row.outcome is None for row in rows),
        worked=worked,
        problems=tuple((row.name, row.reason) for row in rows if row.outcome is Outcome.FAILED),
        remarks=written.remarks,
    )


class _PictureCheck(Writer):
    """Looks at every record's picture. `lost` counts those that are not whole and cannot be made again."""

    def __init__(self, pictures: Pictures) -> None:
        super().__init__()
        self.lost = 0
        self._pictures = pictures
        self._example = ""

    def add(self, entry: Entry) -> str:
        if fault := self._pictures.mend(entry.record):
            self.lost += 1
            self._example = self._example or f"{entry.record.name}: {fault}"
        return ""

    def finish(self) -> tuple[str, ...]:
        if self.lost:
            what = "pictures of peak frames are missing or damaged and cannot be made again"
            log.warning("%d %s (%s)", self.lost, what, listed([self._example]))
        return ()

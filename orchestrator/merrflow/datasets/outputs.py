"""All output files of a folder, and how its run went, from the ledger alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from merrflow.core.records import Outcome
from merrflow.datasets.export.everything import write_all
from merrflow.datasets.outputs_state import read_stamp, write_stamp
from merrflow.datasets.report import write_report
from merrflow.datasets.report.survey import Surveyor
from merrflow.store import Ledger


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

    @property
    def complete(self) -> bool:
        """Every clip has an outcome that will stay."""
        return not (self.unfinished or self.try_again)


def write_outputs(
    ledger: Ledger, out: Path, names: set[str] | None = None, worked: int = 0, *, unless_current: bool = False
) -> Summary:
    """Every output file of a folder, from its ledger alone. Blocking.

    names: the clips to sum up (None: all). unless_current: leaves files alone that were written of just this state
    of the ledger, and were not touched since.
    """
    state = ledger.state()  # before they are read: what comes in meanwhile makes it another one
    written = read_stamp(out, state) if unless_current else None
    if written is None:
        surveyor = Surveyor(ledger)
        written = write_all(ledger, out, also=[surveyor])
        write_report(ledger, out, surveyor.survey())
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
    )

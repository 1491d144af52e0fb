"""The time to the first outcome, as a ledger has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.start import first_of_all
from merrflow.core.inputs import Found
from merrflow.core.records import Outcome
from merrflow.store import Ledger
from merrflow.store.rows import StageRow


def row(seconds: float) -> StageRow:
    return StageRow(Outcome.DONE, "", b"{}", seconds, 1, False)


def test_the_first_outcome_counts_from_the_start_of_the_first_stage(tmp_path: Path) -> None:
    ledger = Ledger.in_folder(tmp_path)
    ledger.register(
        [Found(tmp_path / f"{name}.mp4") for name in "ab"], {tmp_path / f"{name}.mp4": name for name in "ab"}
    )
    ledger.save_stage("a", "probe", "1", row(5.0))
    ledger.save_stage("b", "probe", "1", row(60.0))
    ledger.finish_clip("a", "2", row(90.0))
    ledger.finish_clip("b", "2", row(90.0))
    ledger.close()
    assert first_of_all(tmp_path / "ledger.db") == pytest.approx(60.0, abs=5.0)

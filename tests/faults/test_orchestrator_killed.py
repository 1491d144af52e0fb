"""The orchestrator killed with kill -9 at random moments. `kill_orchestrator` does it for as long as one likes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.faults.kill_orchestrator import kill_again_and_again, ledger_url
from tests.faults.processes import ROOT
from tests.postgres import NoPostgres

LONG = os.environ.get("MERRFLOW_TEST_FAULTS") == "1"
KILLS = 8 if LONG else 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_killed_at_random_moments(tmp_path, kind):
    try:
        with ledger_url(kind) as url:
            result = kill_again_and_again(tmp_path, KILLS, seed=6, url=url, bare=kind == "postgresql")
    except NoPostgres as error:
        pytest.skip(str(error))
    assert result.kills == KILLS and result.at_work >= (3 if LONG else 1), result
    # A kill loses what is on its way, and that is no more than two batches a service.
    assert result.repeated <= KILLS * 5 * 2 * 4, result


def test_the_program_says_what_it_takes():
    told = subprocess.run(
        [sys.executable, "-m", "tests.faults.kill_orchestrator", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert told.returncode == 0 and "--kills" in told.stdout and "--ledger" in told.stdout

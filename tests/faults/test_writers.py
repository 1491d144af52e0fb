"""`merrflow export`, `curate` and `report`: killed at every step, and with a disk that is full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from merrflow.cli.app import app
from merrflow.core.errors import OutputsGone
from merrflow.datasets.export.registry import BUILT_IN
from merrflow.store.database_retries import LedgerGone
from tests.faults.kill_writers import COMMANDS
from tests.faults.processes import ROOT
from tests.faults.surroundings import small_disk
from tests.faults.test_disk import fill
from tests.forks import merrflow
from tests.orchestrator.datasets.report.runs import many, run

ARGUMENTS = {
    "report": ["report"],
    "curate": ["curate"],
    **{f"export-{name}": ["export", "--all", "--format", name] for name in BUILT_IN},
}
NEARLY = 37_000  # bytes: SQLite can read the ledger, and no file has room
QUICK = ("curate", "export-csv")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in COMMANDS]
)
def test_killed_before_any_change_every_file_is_the_old_or_the_new_one(name: str) -> None:
    command = [sys.executable, "-m", "tests.faults.kill_writers", name]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout.split()[1]) >= 5, told.stdout


def files(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.suffix == ".part" or (path.is_file() and not path.name.startswith(("ledger.db", ".")))
    }


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("left", [0, NEARLY], ids=["full", "nearly"])
def test_on_a_full_disk_it_says_what_to_do_and_the_earlier_files_are_whole(
    tmp_path: Path, name: str, left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [ARGUMENTS[name][0], "--out", str(tmp_path / "disk/out"), *ARGUMENTS[name][1:]]
    with small_disk(tmp_path / "disk", 40_000) as disk:
        out = disk / "out"
        run(out, many(450 if name == "curate" else 60), size=(64, 36)).close()
        app(command, standalone_mode=False)
        before = files(out)
        filler = fill(disk, left)
        with pytest.raises((LedgerGone, OutputsGone)) as caught:
            app(command, standalone_mode=False)
        assert "ake room" in str(caught.value) and "\n" not in str(caught.value)
        assert files(out) == before
        assert not [path for path in out.rglob(".*") if path.name.endswith((".part", ".old"))]
        filler.unlink()
        app(command, standalone_mode=False)
        assert files(out) == before


@pytest.mark.parametrize("name", ["report", "curate", "export-csv"])
@pytest.mark.parametrize(("left", "reason"), [(0, "LEDGER_GONE"), (NEARLY, "OUTPUTS_GONE")])
def test_a_full_disk_ends_a_command_with_a_line_and_an_exit_code(
    tmp_path: Path, name: str, left: int, reason: str
) -> None:
    with small_disk(tmp_path / "disk", 40_000) as disk:
        run(disk / "out", many(450 if name == "curate" else 40)).close()
        fill(disk, left)
        told = merrflow(*ARGUMENTS[name], "--out", disk / "out")
    assert told.returncode == 1 and told.stdout == ""
    (line,) = told.stderr.splitlines()
    assert line.startswith("merrflow: ") and "ake room" in line and f"[{reason}]" in line


@pytest.mark.parametrize("name", ["report", "curate", "export-csv"])
@pytest.mark.parametrize(("kibibytes", "reason"), [(8, "LEDGER_GONE"), (33, "OUTPUTS_GONE")])
def test_a_limit_on_the_size_of_files_ends_a_command_as_a_full_disk_does(
    tmp_path: Path, name: str, kibibytes: int, reason: str
) -> None:
    run(tmp_path / "out", many(450 if name == "curate" else 200)).close()
    before = files(tmp_path / "out")
    told = merrflow(*ARGUMENTS[name], "--out", tmp_path / "out", largest_file=kibibytes * 1024)
    assert told.returncode == 1, told.stderr
    (line,) = told.stderr.splitlines()
    assert line.startswith("merrflow: ") and f"[{reason}]" in line
    assert files(tmp_path / "out") == before

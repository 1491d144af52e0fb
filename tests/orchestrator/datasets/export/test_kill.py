"""An export that is killed leaves the former one or the new one, whole, in every format."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from merrflow.datasets.export.export import export
from merrflow.datasets.export.registry import BUILT_IN
from merrflow.store import Ledger
from tests.orchestrator.datasets.export.clips import with_clips
from tests.orchestrator.datasets.report.runs import many, run

MOMENTS = 10


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _export(out: Path, format: str, folder: Path) -> None:
    export(Ledger.in_folder(out), out, format, folder)


@pytest.fixture(scope="module")
def outs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The output folders of a former and a new run."""
    made = []
    for name, count in (("former", 3), ("new", 16)):
        out, records = tmp_path_factory.mktemp(name), many(count)
        with_clips(out, run(out, records, size=(64, 36)), *(one.name for one in records))
        made.append(out)
    return made[0], made[1]


@pytest.mark.parametrize("format", BUILT_IN)
def test_killed_at_ten_moments_it_is_the_former_or_the_new_one(
    tmp_path: Path, outs: tuple[Path, Path], format: str
) -> None:
    (former, new), folder = outs, tmp_path / "set"
    wholes = []
    for name, out in (("former", former), ("new", new)):
        begun = time.monotonic()
        _export(out, format, tmp_path / f"{name}_set")
        took = time.monotonic() - begun
        wholes.append(contents(tmp_path / f"{name}_set"))
    _export(former, format, folder)
    for moment in range(MOMENTS):
        process = multiprocessing.get_context("fork").Process(target=_export, args=(new, format, folder))
        process.start()
        time.sleep(took * moment / (MOMENTS - 1))
        process.kill()
        process.join()
        assert contents(folder) in wholes
    _export(new, format, folder)  # what was left is swept
    assert contents(folder) == wholes[1]
    assert {path.name for path in tmp_path.glob(".set*")} <= {".set.lock"}

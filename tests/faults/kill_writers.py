"""`merrflow export`, `curate` and `report` killed with kill -9 before each single change that they make to files.

    python -m tests.faults.kill_writers report export-huggingface

A child process runs the command and kills itself just before its n-th change below the output folder, for n = 1, 2, ...
until it gets to its end. After each kill every file is the old one or the whole new one; the next run of the command
ends well and leaves nothing half written. Prints how many kills each command survived.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merrflow.core.records import Outcome
from merrflow.datasets.curation.base import Drop, Step
from merrflow.datasets.curation.config import packaged
from merrflow.datasets.curation.curate import curate
from merrflow.datasets.curation.records import records_digest
from merrflow.datasets.curation.result import write_curation
from merrflow.datasets.export.export import export
from merrflow.datasets.export.registry import BUILT_IN
from merrflow.datasets.outputs import write_outputs
from merrflow.datasets.outputs_state import FILES
from merrflow.store import StageRow, existing_ledger
from tests.orchestrator.datasets.report.runs import many, run

Contents = dict[str, bytes]
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "shutil.copyfile")
_MOST = 500  # steps that no command takes


@dataclass(frozen=True)
class Command:
    """A command as it was given the last time, as it is given now, and the files that it writes."""

    before: Callable[[Path], object]
    now: Callable[[Path], object]
    files: Callable[[Path], list[Path]]

    def contents(self, out: Path) -> Contents:
        return {str(path.relative_to(out)): path.read_bytes() for path in self.files(out) if path.is_file()}


def _report(out: Path) -> None:
    ledger = existing_ledger(out)
    write_outputs(ledger, out)
    ledger.close()


def _news_report(out: Path) -> None:
    """With a record less than before."""
    ledger = existing_ledger(out)
    ledger.finish_clip("clip_00001", "print", StageRow(Outcome.SKIPPED, "no face", b"", 0.1))
    write_outputs(ledger, out, unless_current=True)
    ledger.close()


def _export(name: str, out: Path, *, everything: bool) -> None:
    ledger = existing_ledger(out)
    export(ledger, out, name, everything=everything)
    ledger.close()


def _curate(out: Path, *order: str) -> None:
    curate(out, packaged().model_copy(update={"order": order}))


def _exporting(name: str) -> Command:
    return Command(
        lambda out: _export(name, out, everything=True),
        lambda out: _export(name, out, everything=False),
        lambda out: sorted((out / "export" / name).rglob("*")),
    )


COMMANDS = {
    "report": Command(_report, _news_report, lambda out: [out / name for name in FILES]),
    "curate": Command(
        lambda out: _curate(out, "exact", "near"),
        lambda out: _curate(out, "quality"),
        lambda out: [out / "curation.json"],
    ),
    **{f"export-{name}": _exporting(name) for name in BUILT_IN},
}


def killed(command: Callable[[Path], object], out: Path, step: int) -> bool:
    """Runs a command in a child that kills itself before its step-th change (0: never). Returns whether it did."""
    child = os.fork()
    if not child:
        code = 1
        try:
            os.sync, os.fsync = (
                lambda: None,
                lambda handle: None,
            )  # a kill loses no write; only the power's failure does
            sys.addaudithook(_killer(str(out), step))
            command(out)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or not os.waitstatus_to_exitcode(status), "the command failed"
    return os.WIFSIGNALED(status)


def _killer(folder: str, step: int) -> Callable[[str, tuple[Any, ...]], None]:
    seen = 0

    def hook(event: str, values: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "open":
            is_change = bool(values[2] & _WRITES) and str(values[0]).startswith(folder)
        elif event == "ctypes.dlsym":  # two folders are about to change places
            is_change = values[1] == "renameat2"
        elif event == "fcntl.flock":  # a file was made, and has nothing in it yet
            is_change = True
        else:
            is_change = event in _CHANGES and str(values[0]).startswith(folder)
        if is_change and "ledger.db" not in str(values[0]):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def kill_at_each_step(name: str, folder: Path) -> int:
    """Returns the number of kills. Raises `AssertionError`."""
    command, first = COMMANDS[name], folder / "first"
    ledger = run(first, many(6))
    drops = (Drop("clip_00002", "quality", "small"),)  # so that an export of the rest differs from one of all
    kept = [name for name, _ in ledger.records() if name != drops[0].name]
    write_curation(first, packaged(), records_digest(ledger), kept, [Step("quality", 6, 1, 0, {}, drops)])
    ledger.close()
    command.before(first)  # in this process, so that the children need not import and compile it all again
    old = command.contents(first)
    gc.freeze()  # no child copies what is here already, to count who refers to it
    shutil.copytree(first, folder / "out", copy_function=shutil.copy2)
    assert not killed(command.now, folder / "out", 0)
    new = command.contents(folder / "out")
    assert old and new and old != new, "the command writes the same as before, so nothing is tested"
    for step in range(1, _MOST):
        out = folder / "out"
        shutil.rmtree(out)
        shutil.copytree(first, out, copy_function=shutil.copy2)
        if not killed(command.now, out, step):
            assert command.contents(out) == new
            return step - 1
        found = command.contents(out)
        for file in old.keys() | new.keys():
            assert found.get(file) in (old.get(file), new.get(file)), f"step {step}: half of {file}"
        if name.startswith("export"):
            assert found in (old, new), f"step {step}: some of the old files and some of the new"
        assert not killed(command.now, out, 0)
        assert command.contents(out) == new, f"step {step}: the next run made something else"
        left = [str(path) for path in out.rglob(".*") if path.name.endswith((".part", ".old"))]
        assert not left, f"step {step}: the next run left {left}"
    raise AssertionError(f"{name} has no end")


def main() -> None:
    for name in sys.argv[1:] or COMMANDS:
        with tempfile.TemporaryDirectory(prefix="merrflow-kills-") as folder:
            print(name, kill_at_each_step(name, Path(folder)), flush=True)


if __name__ == "__main__":
    main()

"""`merrflow run` killed with kill -9 at random moments, and started again each time, to its end.

    python -m tests.faults.kill_orchestrator --kills 50 --ledger sqlite

The models are fakes in a process of their own, which counts their calls. After each kill the ledger is read: what it
holds must never be asked of a model again. At the end every clip has one outcome and every output is whole. Exit code 1
where that does not hold. `--seed` gives other moments, `--ledger postgresql` (or a URL) another ledger, `--bare` leaves
Prefect out, which takes half the time.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from merrflow.core.errors import InputError
from tests.faults.conftest import make_clips
from tests.faults.processes import Faults, addresses, supervised
from tests.faults.processes_checks import assert_nothing_done_again, assert_whole, finished_work
from tests.faults.surroundings import BARE, WHOLE
from tests.postgres import NoPostgres, postgres
from tests.prefect_server import prefect_server

CALLS_A_CLIP = 5
PATIENCE = 300.0  # seconds that a run may take
FIRST_CALL = 5.0  # seconds from a run's start to its first call, before that was measured


@dataclass(frozen=True)
class Result:
    """What the kills came to."""

    kills: int  # of running processes
    at_work: int  # of these, in runs that had called a model
    runs: int
    repeated: int  # calls of models for work that was lost with a kill, because it was not finished


class _Run:
    """One process of `merrflow run`."""

    def __init__(self, clips: Path, out: Path, environment: dict[str, str], program: Sequence[str]) -> None:
        command = [*program, str(clips), "--out", str(out)]
        self._log = (out.parent / "run.log").open("ab")
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )

    @property
    def code(self) -> int | None:
        return self._process.poll()

    def end(self) -> int:
        """Waits for its end."""
        try:
            return self._process.wait(PATIENCE)
        finally:
            self.kill()

    def kill(self) -> None:
        """kill -9, and nothing of it is left."""
        self._process.kill()
        self._process.wait()
        self._log.close()


def kill_again_and_again(folder: Path, kills: int, seed: int = 0, url: str = "", *, bare: bool = False) -> Result:
    """Kills a run `kills` times and lets it end. url: of the ledger; empty for SQLite in the output folder.
    bare: without Prefect. Raises `AssertionError` where something is lost or done again."""
    names = [f"c{number:03}" for number in range(max(12, kills))]
    source, out = make_clips(folder / "clips", names), folder / "out"
    faults = Faults(folder / "faults", MERRFLOW_FAULTS_LATENCY=0.05)
    counts: Counter[str] = Counter()
    moments = Moments(seed, CALLS_A_CLIP * len(names))
    server = nullcontext("") if bare else prefect_server(folder / "prefect")
    with supervised(faults, folder) as services, server as api:
        where = {f"MERRFLOW_{name.upper()}": address for name, address in addresses(services).items()}
        environment = faults.environment | where | {"PREFECT_API_URL": api, "MERRFLOW_LEDGER_URL": url}
        while True:
            finished, before = _finished(out, url), faults.calls()
            run = _Run(source, out, environment, BARE if bare else WHOLE)
            counts["runs"] += 1
            if counts["kills"] == kills:
                code = run.end()
                assert code == 0, f"exit code {code}:\n{(folder / 'run.log').read_text()[-3000:]}"
                assert_nothing_done_again(finished, faults.calls() - before)
                break
            was_at_work = moments.wait(run, faults, before)
            killed = run.code is None
            assert killed or run.code == 0, (folder / "run.log").read_text()[-3000:]
            run.kill()
            time.sleep(0.1)  # calls that were on their way are counted
            assert_nothing_done_again(finished, faults.calls() - before)
            counts["kills"] += killed
            counts["at work"] += killed and was_at_work
    found = assert_whole(out, names, url)
    assert {outcome for outcome, _, _ in found.values()} == {"done"}, found
    calls = faults.calls()
    assert len(calls) == CALLS_A_CLIP * len(names)
    repeated = sum(calls.values()) - len(calls)
    return Result(counts["kills"], counts["at work"], counts["runs"], repeated)


class Moments:
    """Random moments of a run: in its start, at one of its calls, or in writing its outputs."""

    def __init__(self, seed: int, all_calls: int) -> None:
        self._draw = random.Random(seed)
        self._all_calls = all_calls
        self._first_call = FIRST_CALL

    def wait(self, run: _Run, faults: Faults, before: Counter) -> bool:
        """Returns at such a moment, or where the run has ended. True where it has called a model."""
        calls = self._draw.randint(0, 15)
        until = PATIENCE
        if not calls:
            until = self._draw.uniform(0, self._first_call)
        elif len(before) == self._all_calls:  # nothing is left to call
            until = self._draw.uniform(0, 1.5 * self._first_call)
        started = time.monotonic()
        is_first = True
        while run.code is None and time.monotonic() - started < until:
            made = sum(faults.calls().values()) - sum(before.values())
            if made and is_first:
                is_first, self._first_call = False, time.monotonic() - started
            if calls and made >= min(calls, self._all_calls - len(before)) > 0:
                break
            time.sleep(0.02)
        time.sleep(self._draw.uniform(0.0, 0.2))
        return faults.calls() != before


def _finished(out: Path, url: str) -> set[tuple[str, str]]:
    """What the ledger holds; nothing where the run was killed before it had made one."""
    try:
        return finished_work(out, url)
    except InputError:
        return set()


@contextmanager
def ledger_url(kind: str) -> Iterator[str]:
    """sqlite, postgresql (a server of its own), or a URL."""
    with postgres() if kind == "postgresql" else nullcontext("" if kind == "sqlite" else kind) as url:
        yield url


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kill_orchestrator", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--ledger", default="sqlite", help="sqlite, postgresql, or a SQLAlchemy URL")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bare", action="store_true", help="without Prefect")
    options = parser.parse_args()
    started = time.monotonic()
    try:
        with ledger_url(options.ledger) as url, tempfile.TemporaryDirectory(prefix="merrflow-kills-") as folder:
            result = kill_again_and_again(Path(folder), options.kills, options.seed, url, bare=options.bare)
    except NoPostgres as error:
        print(error, file=sys.stderr)
        return 2
    except AssertionError as error:
        print(f"not as it must be: {error}", file=sys.stderr)
        return 1
    print(
        f"{result.kills} kills ({result.at_work} of them at work) in {result.runs} runs and "
        f"{time.monotonic() - started:.0f} s: every clip has one outcome, nothing finished was done again "
        f"({result.repeated} calls repeated that had no answer yet), all outputs are whole"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

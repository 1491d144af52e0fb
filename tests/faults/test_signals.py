"""SIGTERM with work in flight: the run ends in order, its services with it, and the next one goes on from there."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress

import psutil
import pytest

from tests.faults.processes_checks import assert_nothing_done_again, assert_whole, finished_work
from tests.faults.surroundings import BARE, WHOLE, assert_kept, done_rows, ended, ending, environment, start, until
from tests.prefect_home import home_with_database

NAMES = [f"c{number}" for number in range(6)]


def services_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The embedded services that a run has started."""
    found = []
    for one in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):  # a short-lived child of another kind that has just ended
            if "merrflow_serving" in " ".join(one.cmdline()):
                found.append(one)
    return found


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert not alive, "services were left behind"


@pytest.mark.parametrize(
    ("number", "code", "command"),
    [
        pytest.param(signal.SIGTERM, 143, BARE, id="SIGTERM", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, BARE, id="SIGINT", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, WHOLE, id="SIGTERM within the Prefect flow", marks=pytest.mark.slow),
    ],
)
def test_a_signal_in_mid_run(tmp_path, clips, slow, number, code, command):
    out = tmp_path / "out"
    env = environment(slow, {"label_scores": "none", "clips_at_once": 3})
    env["PREFECT_HOME"] = str(home_with_database(tmp_path / "prefect"))
    before = slow.calls()
    run = start([*command, str(clips), "--out", str(out)], env)
    with ending(run):
        until(lambda: (slow.calls() - before).total() > 10, "calls", run)
        services = services_of(run)
        run.send_signal(number)
        found, output = ended(run, 60)
    assert len(services) == 4
    assert_gone(services)
    assert (found, "stopped; run the same command again to continue" in output) == (code, True), output
    finished, rows, calls = finished_work(out), done_rows(out), slow.calls()
    assert finished
    code, output = ended(start([*BARE, str(clips), "--out", str(out)], env))
    assert code == 0, output
    assert_nothing_done_again(finished, slow.calls() - calls)
    assert_kept(rows, done_rows(out))
    assert_whole(out, NAMES)


def test_a_signal_while_the_services_start(tmp_path, clips, slow):
    env = environment(slow, {"label_scores": "none"})
    run = start([*BARE, str(clips), "--out", str(tmp_path / "out")], env)
    with ending(run):
        until(lambda: services_of(run), "services", run)
        services = services_of(run)
        run.send_signal(signal.SIGTERM)
        run.send_signal(signal.SIGTERM)  # whoever is in a hurry must not disturb the end
        code, output = ended(run, 60)
    assert_gone(services)
    assert code == 143 and "stopped" in output, output

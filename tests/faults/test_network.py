"""The network between hosts, cut and healed: services on one, the run on another, PostgreSQL on a third."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from merrflow_serving.catalog import NEEDED
from tests.faults.conftest import make_clips
from tests.faults.hosts import Hosts, hosts, why_not
from tests.faults.processes import ROOT, Faults
from tests.faults.processes_checks import assert_nothing_done_again, assert_whole, finished_work
from tests.faults.surroundings import (
    BARE,
    Postgres,
    addresses,
    assert_kept,
    done_rows,
    ended,
    ending,
    environment,
    long_ones,
    until,
)

CLIPS = [f"c{number:02}" for number in range(16)]
_REASON = why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(_REASON), reason=_REASON)]


@dataclass(frozen=True)
class World:
    net: Hosts
    faults: Faults
    clips: Path
    database: Postgres

    def start(self, out: Path, host: str = "run", **settings: object) -> subprocess.Popen[str]:
        """A run on a host. settings: as variables MERRFLOW_<NAME>."""
        patient = {"retry_seconds": 60, "connect_seconds": 10, "label_scores": "none", "clips_at_once": 4}
        variables = addresses(self.net.addresses["services"])
        env = environment(self.faults, patient | settings) | variables
        return self.net.popen(
            host,
            [*BARE, str(self.clips), "--out", str(out)],
            env,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until_under_way(self, process: subprocess.Popen[str], calls: int = 12) -> None:
        before = self.faults.calls().total()
        until(lambda: self.faults.calls().total() >= before + calls, f"{calls} calls", process)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    faults = Faults(folder / "faults", MERRFLOW_FAULTS_LATENCY=0.3)
    clips = make_clips(folder / "clips", CLIPS)
    with hosts("run", "services", "database") as net:
        host = net.addresses["services"]
        found: list[subprocess.Popen[bytes]] = []
        database = Postgres(lambda command: net.command("database", command), net.addresses["database"])
        try:
            for name in NEEDED:
                with (folder / f"{name}.log").open("wb") as log:
                    arguments = [sys.executable, "-m", "merrflow_serving", name, "--host", host]
                    found.append(net.popen("services", arguments, faults.environment, cwd=ROOT, stdout=log, stderr=log))
            with ending(*found):
                yield World(net, faults, clips, database)
        finally:
            database.remove()


@pytest.fixture(autouse=True)
def _healed(world: World) -> Iterator[None]:
    world.net.heal()
    yield
    world.net.heal()


def finishes(world: World, process: subprocess.Popen[str], out: Path, url: str = "") -> str:
    code, output = ended(process)
    assert code == 0, output
    found = assert_whole(out, CLIPS, url)
    assert {outcome for outcome, _, _ in found.values()} == {"done"}, found
    return output


def rerun_finishes(world: World, out: Path, url: str = "", **settings: object) -> None:
    """The next run does what is missing, and nothing else."""
    finished, rows, calls = finished_work(out, url), done_rows(out, url), world.faults.calls()
    finishes(world, world.start(out, **settings), out, url)
    assert_nothing_done_again(finished, world.faults.calls() - calls)
    assert_kept(rows, done_rows(out, url))


def most_calls_for_one(world: World, before: Mapping[object, int]) -> int:
    return max((world.faults.calls() - before).values())


ONE_WAY = [pytest.param(way, marks=long_ones) for way in ("to the services", "from the services")]


@pytest.mark.parametrize("way", ["both", *ONE_WAY])
def test_a_cut_of_five_seconds_is_waited_out(world, tmp_path, way):
    before = world.faults.calls()
    run = world.start(tmp_path / "out")
    with ending(run):
        world.until_under_way(run)
        there, back = world.net.both("run", "services")
        there.cut, back.cut = way != "from the services", way != "to the services"
        time.sleep(5)
        world.net.heal()
        finishes(world, run, tmp_path / "out")
    assert most_calls_for_one(world, before) == 1, "a call that was under way is not made again"


@long_ones
def test_a_slow_and_lossy_network_costs_time_alone(world, tmp_path):
    before = world.faults.calls()
    for link in world.net.both("run", "services"):
        link.delay, link.jitter, link.loss = 0.1, 0.05, 0.03
    run = world.start(tmp_path / "out")
    with ending(run):
        finishes(world, run, tmp_path / "out")
    assert world.net.dropped
    assert most_calls_for_one(world, before) == 1


@long_ones
def test_a_cut_beyond_the_patience_stops_the_run_in_a_sentence_and_the_next_one_finishes(world, tmp_path):
    run = world.start(tmp_path / "out", retry_seconds=5, ready_seconds=5)
    with ending(run):
        world.until_under_way(run)
        world.net.cut("run", "services")
        code, output = ended(run, 150)
    assert code == 1 and "has been away for 5 s" in output and "run the same command again" in output, output
    world.net.heal()
    rerun_finishes(world, tmp_path / "out")


def test_services_that_cannot_be_reached_at_first_are_named(world, tmp_path):
    world.net.cut("run", "services")
    run = world.start(tmp_path / "out", connect_seconds=3)
    with ending(run):
        code, output = ended(run)
    assert code == 2 and "does not answer at 10.77.0.2" in output, output


@long_ones
def test_the_ledgers_database_cut_off_for_five_seconds_is_waited_for(world, tmp_path):
    url = world.database.url
    run = world.start(tmp_path / "out", ledger_url=url)
    with ending(run):
        world.until_under_way(run)
        world.net.cut("run", "database")
        time.sleep(5)
        world.net.heal()
        finishes(world, run, tmp_path / "out", world.database.local_url)


@long_ones
def test_the_ledgers_server_restarted_in_mid_run_is_waited_for(world, tmp_path):
    run = world.start(tmp_path / "out", ledger_url=world.database.url)
    with ending(run):
        world.until_under_way(run)
        world.database.stop()
        time.sleep(2)
        world.database.start()
        finishes(world, run, tmp_path / "out", world.database.local_url)


@long_ones
def test_the_ledgers_database_cut_off_for_longer_stops_the_run_in_a_sentence(world, tmp_path):
    settings = {"ledger_url": world.database.url, "faults_haste": 3}
    run = world.start(tmp_path / "out", **settings)
    with ending(run):
        world.until_under_way(run)
        world.net.cut("run", "database")
        code, output = ended(run, 90)
    assert code == 1 and "the ledger has been away or locked for 3 s" in output, output
    world.net.heal()
    rerun_finishes(world, tmp_path / "out", world.database.local_url, **{"ledger_url": world.database.url})


def test_a_database_that_cannot_be_reached_at_first_is_named(world, tmp_path):
    world.net.cut("run", "database")
    run = world.start(tmp_path / "out", ledger_url=world.database.url, faults_haste=2)
    with ending(run):
        code, output = ended(run)
    assert code == 2 and "the ledger cannot be opened" in output, output


@long_ones
def test_a_run_that_was_cut_off_while_another_took_over_writes_no_more(world, tmp_path):
    """Two machines, each with its own view of the folder; what they share is the database."""
    settings = {"ledger_url": world.database.url, "faults_haste": 4, "retry_seconds": 600, "ready_seconds": 600}
    first = world.start(tmp_path / "one", **settings)
    with ending(first):
        world.until_under_way(first)
        world.net.cut("run", "services")  # so that it is still at work whenever the others have started
        (tmp_path / "two").mkdir()
        (tmp_path / "two/ledger.json").write_bytes((tmp_path / "one/ledger.json").read_bytes())
        code, output = ended(world.start(tmp_path / "two", "database", **settings))
        assert code == 2 and "another run is working there" in output, output
        world.net.cut("run", "database")
        time.sleep(8)  # by then the server gives the claim up
        rows = done_rows(tmp_path / "two", world.database.local_url)
        second = world.start(tmp_path / "two", "database", **settings)
        with ending(second):
            finishes(world, second, tmp_path / "two", world.database.local_url)
        written = done_rows(tmp_path / "two", world.database.local_url)
        # Records are made anew, because the first one's pictures are on its own machine here.
        assert_kept({key: moment for key, moment in rows.items() if key[1] != "record"}, written)
        world.net.heal()
        code, output = ended(first, 120)
    assert code == 1 and "another run has taken it over" in output, output
    assert done_rows(tmp_path / "two", world.database.local_url) == written, "the first wrote behind the second"


@long_ones
def test_a_run_whose_claim_is_another_ones_when_the_network_is_back_stops(world, tmp_path):
    settings = {"ledger_url": world.database.url, "faults_haste": 4, "retry_seconds": 600, "ready_seconds": 600}
    first = world.start(tmp_path / "one", **settings, faults_patience=300)
    with ending(first):
        world.until_under_way(first)
        world.net.cut("run", "services")
        world.net.cut("run", "database")
        (tmp_path / "two").mkdir()
        (tmp_path / "two/ledger.json").write_bytes((tmp_path / "one/ledger.json").read_bytes())
        time.sleep(8)
        world.net.cut("services", "database")
        second = world.start(tmp_path / "two", "database", **settings, connect_seconds=600)
        with ending(second):
            until(lambda: claimed(world), "the second run's claim", second)
            time.sleep(1)
            world.net.heal()
            code, output = ended(first, 120)
            assert code == 1 and "another run has taken it over" in output, output
            finishes(world, second, tmp_path / "two", world.database.local_url)


def claimed(world: World) -> bool:
    with sa.create_engine(world.database.local_url).connect() as db:
        return bool(db.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")))

"""A clip that crashes its engine's process, or eats its memory, costs itself alone."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from merrflow.clients.replica import Replica, State
from merrflow.clients.wait_queue import WaitQueue
from merrflow.pipeline import local_services
from merrflow.pipeline.local_services import LocalServices
from tests.faults.conftest import annotate, make_clips
from tests.faults.processes import Faults, addresses, supervised
from tests.faults.processes_checks import assert_nothing_done_again, assert_whole, finished_work
from tests.orchestrator.fakes import fake_services

INNOCENT = [f"innocent_{number}" for number in range(6)]
ENDS_PROCESS = ["abort", "segv", "killed", "eat memory in native code"]
MEMORY_MIB = 2048  # of addresses; a service with its libraries takes some 1,500 of them


def expect(found: dict[str, tuple[str, str, bool]], guilty: list[str]) -> None:
    for name in INNOCENT:
        assert found[name][0] == "done", (name, found[name])
    for name in guilty:
        outcome, reason, again = found[name]
        words = "each time it worked on this clip" if name.replace("_", " ") in ENDS_PROCESS else "MemoryError"
        assert (outcome, again) == ("failed", True) and words in reason, (name, found[name])


async def run_twice(clips: Path, out: Path, faults: Faults, where: dict[str, str], guilty: list[str]) -> None:
    names = [*INNOCENT, *guilty]
    await annotate(clips, out, where)
    expect(assert_whole(out, names), guilty)
    finished, before = finished_work(out), faults.calls()
    faults.plan()
    await annotate(clips, out, where)
    assert_nothing_done_again(finished, faults.calls() - before)
    assert {outcome for outcome, _, _ in assert_whole(out, names).values()} == {"done"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("service", "guilty"), [("openface_au", ["abort", "eat_memory_in_native_code"]), ("llama3", ["killed", "segv"])]
)
async def test_with_a_supervisor(tmp_path, service, guilty):
    faults = Faults(tmp_path / "faults", MERRFLOW_FAULTS_MEMORY_MIB=MEMORY_MIB)
    clips = make_clips(tmp_path / "clips", [*INNOCENT, *guilty])
    faults.plan(**{service: {name: name.replace("_", " ") for name in guilty}})
    with supervised(faults, tmp_path) as services:
        await run_twice(clips, tmp_path / "out", faults, addresses(services), guilty)
        others = [one for name, one in services.items() if name != service.replace("_", "-")]
        assert [one.starts for one in others] == [1, 1, 1]


@pytest.mark.slow
async def test_with_the_embedded_services(tmp_path, monkeypatch):
    guilty = ["segv", "eat_memory"]
    faults = Faults(tmp_path / "faults", MERRFLOW_FAULTS_MEMORY_MIB=MEMORY_MIB)
    clips = make_clips(tmp_path / "clips", [*INNOCENT, *guilty])
    faults.plan(minigpt_v2={name: name.replace("_", " ") for name in guilty})
    for name, value in faults.environment.items():
        monkeypatch.setenv(name, value)
    async with LocalServices(tmp_path / "logs", None) as services:
        where = {f"{name.replace('-', '_')}_address": place for name, place in services.addresses.items()}
        where["token"] = services.token
        await run_twice(clips, tmp_path / "out", faults, where, guilty)


@pytest.mark.slow
async def test_a_clip_after_another_that_crashes_does_not_end_the_embedded_services(tmp_path, monkeypatch):
    guilty = [f"abort_{number}" for number in range(2)]
    faults = Faults(tmp_path / "faults")
    clips = make_clips(tmp_path / "clips", guilty)
    faults.plan(qwen_audio={"*": "abort"})
    monkeypatch.setattr(local_services, "DEATHS_UNREADY", 3)  # it dies more often, but not before it was ready
    for name, value in faults.environment.items():
        monkeypatch.setenv(name, value)
    async with fake_services() as others, LocalServices(tmp_path / "logs", None, ["qwen-audio"]) as services:
        where = others | {"qwen_audio_address": services.addresses["qwen-audio"], "token": services.token}
        await annotate(clips, tmp_path / "out", where)
    found = assert_whole(tmp_path / "out", guilty)
    assert {outcome for outcome, _, _ in found.values()} == {"failed"}


async def test_where_memory_ends_the_kernel_takes_a_service_and_not_the_run(tmp_path, monkeypatch):
    faults = Faults(tmp_path / "faults")
    for name, value in faults.environment.items():
        monkeypatch.setenv(name, value)
    own = int(Path("/proc/self/oom_score_adj").read_text())
    async with LocalServices(tmp_path / "logs", None, ["llama3"]) as services:
        for pid in services.pids:
            assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) == min(1000, own + 500)
    assert not [pid for pid in services.pids if os.path.exists(f"/proc/{pid}")]


class _Replica:
    """What a wait queue knows of a replica."""

    def __init__(self) -> None:
        self.state, self.in_flight, self.has_suspect, self.last_call, self.room = State.READY, 0, False, 0, 4

    @property
    def has_room(self) -> bool:
        return self.in_flight < self.room

    begin_call, end_call = Replica.begin_call, Replica.end_call

    @property
    def load(self) -> float:
        return self.in_flight / self.room


async def test_a_call_that_broke_two_connections_works_alone_and_is_not_overtaken():
    replica, events = _Replica(), []
    queue = WaitQueue([replica], lambda since: None)
    ends = {name: asyncio.Event() for name in ("before", "alone", "after")}

    async def call(name: str, alone: bool) -> None:
        async with queue.borrow(None, alone, alone):
            events.append((name, replica.in_flight))
            await ends[name].wait()

    work = [asyncio.create_task(call(name, name == "alone")) for name in ends]
    for ended, expected in (("before", [("before", 1)]), ("alone", [("alone", 1)]), ("after", [("after", 1)])):
        await asyncio.sleep(0.05)
        assert events[-1:] == expected, "one after the other, though there is room for four"
        ends[ended].set()
    await asyncio.gather(*work)
    assert replica.in_flight == 0 and not replica.has_suspect


async def test_two_suspect_calls_never_work_on_one_replica_at_a_time():
    replica = _Replica()
    queue = WaitQueue([replica], lambda since: None)
    async with queue.borrow(None, True):
        second = asyncio.create_task(queue.borrow(None, True).__aenter__())
        async with queue.borrow(None, False):  # one that is no suspect works beside the first
            assert replica.in_flight == 2
            await asyncio.sleep(0.05)
            assert not second.done()
    assert await asyncio.wait_for(second, 1) is replica


async def test_beside_a_call_that_works_alone_other_replicas_go_on():
    one, other = _Replica(), _Replica()
    queue = WaitQueue([one, other], lambda since: None)
    async with queue.borrow(None, True, True) as taken:
        async with queue.borrow(None, False), queue.borrow(None, False):
            assert taken.in_flight == 1 and one.in_flight + other.in_flight == 3
    assert one.in_flight == other.in_flight == 0

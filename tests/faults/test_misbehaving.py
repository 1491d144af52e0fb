"""An engine that answers late, answers garbage, hangs, or raises what no one expects: its neighbours are unharmed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from merrflow_serving import health
from merrflow_serving.catalog import NEEDED, SERVICES
from tests.faults.conftest import annotate, make_clips
from tests.faults.processes import Faults, Supervised, addresses, alone, supervised
from tests.faults.processes_checks import assert_whole
from tests.faults.processes_engines import GARBAGE, WHOLE

INNOCENT = ["innocent_1", "innocent_2", "innocent_3"]
# Whatever a service has no word for: no clip may pass with it, and none may take another along.
TEXTS = ["nothing", "a number", "a class", "an error as answer", "the end as answer", "an exit as answer", "no UTF-8"]
TEXTS += ["huge text", "no text", "text of another type", "raise", "fault", "exit", "interrupt", "stop iteration"]
TEXTS += ["raise what cannot be printed"]
FACES = ["nothing", "a number", "a box that is no number", "a face at infinity", "confidence that is no number"]
FACES += ["frames that are not there", "one frame again and again", "no frames", "raise", "exit"]
SCORES = ["scores that are no number", "scores above one", "no scores"]
BATCHES = sorted(WHOLE)
CASES = {
    "openface_au": FACES + BATCHES,
    "minigpt_v2": TEXTS + BATCHES,
    "qwen_audio": TEXTS + BATCHES,
    "llama3": TEXTS + BATCHES + SCORES,
}


def test_every_garbage_is_tried_somewhere():
    assert set(GARBAGE) | set(WHOLE) <= {deed for deeds in CASES.values() for deed in deeds}


@pytest.mark.parametrize("service", CASES)
async def test_garbage_fails_its_own_clip_with_a_reason_and_nothing_of_it_stays(tmp_path, faults, services, service):
    deeds = {deed.replace(" ", "_"): deed for deed in CASES[service]}
    clips = make_clips(tmp_path / "clips", [*deeds, *INNOCENT])
    faults.plan(**{service: deeds})
    starts = [one.starts for one in services.values()]
    try:
        async with asyncio.timeout(240):
            await annotate(clips, tmp_path / "out", addresses(services))
        found = assert_whole(tmp_path / "out", [*deeds, *INNOCENT])
        for name in INNOCENT:
            assert found[name][0] == "done", found[name]
        passed = [name for name in deeds if found[name][0] != "failed"]
        assert not passed, {name: found[name] for name in passed}
        for name in deeds:
            assert "fault in merrflow" not in found[name][1], (name, found[name])
            assert found[name][1] and len(found[name][1]) < 500 and found[name][2], (name, found[name])
        assert [one.starts for one in services.values()] == starts, "no garbage ends a service"
    finally:
        faults.plan()
    # Nothing that was garbage was remembered: with a sound engine the next run mends all.
    await annotate(clips, tmp_path / "out", addresses(services))
    assert {outcome for outcome, _, _ in assert_whole(tmp_path / "out", [*deeds, *INNOCENT]).values()} == {"done"}


@pytest.fixture(scope="module")
def impatient(tmp_path_factory) -> Iterator[tuple[Faults, dict[str, Supervised]]]:
    """Services that give a batch a second. On a busy machine a sound one may take as long, and costs a restart."""
    limits = {f"{SERVICES[name].env_prefix}MAX_RUN_SECONDS": 1 for name in NEEDED}
    faults = Faults(tmp_path_factory.mktemp("impatient"), **limits)
    with supervised(faults, tmp_path_factory.mktemp("logs")) as found:
        yield faults, found


@pytest.mark.slow
@pytest.mark.parametrize(("service", "deed"), [("qwen_audio", "hang"), ("openface_au", "hang with the interpreter")])
async def test_an_engine_that_hangs_is_ended_and_its_clip_fails_alone(tmp_path, impatient, service, deed):
    faults, services = impatient
    clips = make_clips(tmp_path / "clips", ["hangs", *INNOCENT])
    faults.plan(**{service: {"hangs": deed}})
    hung = services[service.replace("_", "-")]
    started = time.monotonic()
    try:
        await annotate(clips, tmp_path / "out", addresses(services))
    finally:
        faults.plan()
    found = assert_whole(tmp_path / "out", ["hangs", *INNOCENT])
    assert [found[name][0] for name in INNOCENT] == ["done"] * 3, found
    assert found["hangs"][0] == "failed" and "each time it worked on this clip" in found["hangs"][1], found["hangs"]
    assert hung.codes[-1] in ((1,) if "interpreter" in deed else (74, 1))  # 1: by the watch that needs no interpreter
    assert time.monotonic() - started < 240
    hung.wait_serving()


@pytest.mark.slow
async def test_a_late_answer_is_as_good_as_any(tmp_path, faults, services):
    clips = make_clips(tmp_path / "clips", ["late", *INNOCENT])
    faults.plan(openface_au={"late": "late"}, llama3={"*": "late"})
    try:
        await annotate(clips, tmp_path / "out", addresses(services))
    finally:
        faults.plan()
    found = assert_whole(tmp_path / "out", ["late", *INNOCENT])
    assert {outcome for outcome, _, _ in found.values()} == {"done"}


async def test_a_call_beyond_its_deadline_is_an_outcome_for_now(tmp_path, faults, services):
    clips = make_clips(tmp_path / "clips", ["late"])
    faults.plan(qwen_audio={"late": "late"})
    limits = {"call_seconds": 0.3, "retry_seconds": 0.5}
    try:
        await annotate(clips, tmp_path / "out", addresses(services), **limits)
    finally:
        faults.plan()
    outcome, reason, again = assert_whole(tmp_path / "out", ["late"])["late"]
    assert (outcome, again) == ("failed", True) and "eadline" in reason
    await annotate(clips, tmp_path / "out", addresses(services))
    assert assert_whole(tmp_path / "out", ["late"])["late"][0] == "done"


@pytest.mark.slow
async def test_a_full_queue_only_takes_longer(tmp_path, faults, services):
    names = [f"c{number}" for number in range(10)]
    clips = make_clips(tmp_path / "clips", names)
    faults.plan(qwen_audio={"*": "late"})  # its queue takes one
    try:
        await annotate(clips, tmp_path / "out", addresses(services))
    finally:
        faults.plan()
    assert "QUEUE_FULL" in services["qwen-audio"].log
    assert {outcome for outcome, _, _ in assert_whole(tmp_path / "out", names).values()} == {"done"}


@pytest.mark.parametrize("deed", ["raise", "exit"])
def test_an_engine_that_cannot_be_loaded_or_closed(tmp_path, deed):
    faults = Faults(tmp_path / "faults")
    faults.plan(llama3={"load": deed, "close": "raise"})
    with alone("llama3", faults, tmp_path) as (process, address):
        problem = health.check(address)[1]
        while "loading" in problem:
            time.sleep(0.05)
            problem = health.check(address)[1]
        assert problem == f"NOT_SERVING: {'RuntimeError: the model broke' if deed == 'raise' else 'SystemExit: 3'}"
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.slow
def test_an_engine_that_does_not_end_holds_no_process_up(tmp_path):
    faults = Faults(tmp_path / "faults", MERRFLOW_LLAMA3_DRAIN_SECONDS=0)
    faults.plan(llama3={"close": "hang"})
    with alone("llama3", faults, tmp_path) as (process, address):
        while not health.check(address)[0]:
            time.sleep(0.05)
        process.terminate()
        assert process.wait(30) == 0
    assert "still at work" in (tmp_path / "log").read_text()

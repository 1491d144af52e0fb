"""Many clips over a few processes: who shares one, who is to blame, how fast it goes."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from merrflow_openface_au.engines.openface.clip import VideoFacts
from merrflow_openface_au.engines.openface.engine import OpenFaceEngine
from merrflow_openface_au.engines.openface.process import ProcessResult
from merrflow_openface_au.engines.openface.scheduling import GroupOutcome, Job, evaluate_run, make_groups, run_all
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import VideoResult
from merrflow_serving.media.openface_csv import OpenFaceError
from tests.services.openface_au.fake_openface import install
from tests.services.openface_au.videos import encode


def facts(frames: int, **more) -> VideoFacts:
    return VideoFacts(64, 48, tuple(i / 25 for i in range(frames)), **({"plain": True} | more))


def job(place_: int, frames: int = 10, *, rewrite: bool = False) -> Job:
    return Job(place_, b"", facts(frames), rewrite)


@given(st.lists(st.integers(1, 500), max_size=40), st.integers(1, 6), st.integers(1, 8))
def test_every_clip_is_shared_out_once(lengths, processes, most) -> None:
    jobs = [job(i, frames) for i, frames in enumerate(lengths)]
    groups = make_groups(jobs, processes, most)
    assert sorted(one.index for group in groups for one in group) == list(range(len(jobs)))
    assert all(0 < len(group) <= most for group in groups)
    if len(jobs) <= processes:
        assert len(groups) == len(jobs)
    if len(jobs) <= processes * most and len(jobs) >= processes:
        loads = [sum(len(one.facts.timestamps) for one in group) for group in groups]
        if all(len(group) < most for group in groups):  # LPT: no group is ahead by more than its last clip
            assert max(loads) - min(loads) <= max(lengths)


# who is to blame

WHOLE = VideoResult(1, 1, 0.0, (), ())


def outcome(group: list[Job], *, code: int | None, begun: list[int], written: list[int], **more) -> GroupOutcome:
    def read(one: Job, path: Path) -> VideoResult:
        if path.name == "bad":
            raise OpenFaceError(f"{path}: broken")
        return WHOLE

    bad = more.pop("bad", ())
    results = {index: Path("/private/bad" if index in bad else "/private/good") for index in written}
    return evaluate_run(
        group, ProcessResult(code, tuple(begun), results, **({"unopened": False, "tail": "last words"} | more)), read
    )


def fates(got: GroupOutcome) -> dict[int, str]:
    return {place_: "done" if one is WHOLE else one.reason for place_, one in got.results.items()}


def again(got: GroupOutcome) -> list[list[int]]:
    return [[one.index for one in group] for group in got.again]


def test_a_process_that_ends_well_has_done_all() -> None:
    got = outcome([job(7), job(3)], code=0, begun=[0, 1], written=[0, 1])
    assert fates(got) == {7: "done", 3: "done"} and not got.again


def test_the_clip_in_work_is_to_blame_for_a_crash_and_the_others_run_again() -> None:
    got = outcome([job(i) for i in range(4)], code=139, begun=[0, 1], written=[0, 1])
    assert fates(got) == {0: "done", 1: "OPENFACE"} and again(got) == [[2, 3]]
    assert "SIGSEGV: last words" in str(got.results[1])


def test_the_clip_in_work_is_to_blame_for_a_hang() -> None:
    got = outcome([job(i) for i in range(3)], code=None, begun=[0], written=[])
    assert fates(got) == {0: "OPENFACE_TIMEOUT"} and again(got) == [[1, 2]]


def test_a_file_that_cannot_be_opened_is_written_anew_once() -> None:
    got = outcome([job(i) for i in range(3)], code=1, begun=[0, 1], written=[0], unopened=True)
    assert fates(got) == {0: "done"} and again(got) == [[2], [1]] and got.again[1][0].rewrite
    got = outcome([job(0, rewrite=True)], code=1, begun=[0], written=[], unopened=True)
    assert fates(got) == {0: "OPENFACE"}


def test_results_that_cannot_be_read_are_tried_anew_once() -> None:
    got = outcome([job(0), job(1)], code=0, begun=[0, 1], written=[0, 1], bad=[0])
    assert fates(got) == {1: "done"} and again(got) == [[0]] and got.again[0][0].rewrite
    got = outcome([job(0, rewrite=True)], code=0, begun=[0], written=[0], bad=[0])
    assert "CSV: broken" in str(got.results[0]) and "private" not in str(got.results[0])


def test_where_nothing_tells_who_is_to_blame_each_runs_alone() -> None:
    got = outcome([job(i) for i in range(3)], code=139, begun=[], written=[])
    assert again(got) == [[0], [1], [2]] and not got.results
    assert fates(outcome([job(5)], code=139, begun=[], written=[])) == {5: "OPENFACE"}
    assert fates(outcome([job(5)], code=None, begun=[], written=[])) == {5: "OPENFACE_TIMEOUT"}


@given(st.integers(1, 7), st.integers(0, 10**6))
def test_the_runs_end_whatever_the_processes_do(count, seed) -> None:
    """A random process, over and over: every clip has one fate, and no clip runs more often than clips and ways."""
    chance = random.Random(seed)
    runs = 0

    def run(group: list[Job]) -> GroupOutcome:
        nonlocal runs
        runs += 1
        begun = chance.sample(range(len(group)), chance.randint(0, len(group)))
        written = [index for index in begun if chance.random() < 0.7]
        code = chance.choice([0, 0, 1, 139, None])
        unopened = chance.random() < 0.3
        return outcome(list(group), code=code, begun=begun, written=written, bad=written[:1], unopened=unopened)

    with ThreadPoolExecutor(1) as threads:
        got = run_all([[job(i) for i in range(count)]], run, threads)
    assert set(got.results) == set(range(count)) and runs <= 4 * count


def test_the_pool_is_as_many_times_faster_as_it_has_processes(tmp_path) -> None:
    """The fake sleeps, so that the cores of this machine do not matter: 12 clips of 0.25 s, 0.2 s for each start."""
    clips = [encode([np.full((16, 16, 3), 20 * i, np.uint8)] * 2) for i in range(12)]
    plan = {"*": {"frames": 2, "seconds": 0.25}, "start_seconds": 0.2}
    took = {}
    for processes in (1, 4):
        binary = install(tmp_path / str(processes), plan=plan)
        engine = OpenFaceEngine(
            OpenFaceAuSettings(
                openface_binary=str(binary),
                openface_folder=tmp_path,
                openface_processes=processes,
                openface_clips_per_process=12 // processes,
            )
        )
        assert engine.info().limits.max_batch_size == 12
        engine.load()
        started = time.monotonic()
        results = engine.run(clips)
        took[processes] = time.monotonic() - started
        engine.close()
        assert all(isinstance(one, VideoResult) for one in results)
    assert took[1] > 12 * 0.25
    assert took[4] < took[1] / 1.8  # 0.95 s against 3.2 s; the rest is for starting Pythons on a busy machine

"""Several videos at once, each in a worker process: the same results, and nothing that outlives anything."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from merrflow_openface_au import SPEC
from merrflow_openface_au.engines.mediapipe import pool as pool_module
from merrflow_openface_au.engines.mediapipe import worker_process
from merrflow_openface_au.engines.mediapipe.engine import MediapipeEngine
from merrflow_openface_au.engines.mediapipe.pool import OWN_BYTES, WORKER_BYTES, MediapipePool, affordable_workers
from merrflow_openface_au.engines.mediapipe.worker_process import WorkerProcess
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import VideoResult
from merrflow_serving.errors import Abandoned, EngineFault, NotReady, TooLarge, UnreadableMedia
from merrflow_serving.machine import Memory
from merrflow_serving.server import Server
from tests.services.openface_au.drawn_face import draw_face
from tests.services.openface_au.videos import encode


@pytest.fixture(scope="module")
def video() -> bytes:
    return encode(draw_face(320, 320, mouth=i / 5) for i in range(5))


@pytest.fixture(scope="module")
def long_video() -> bytes:
    """Some seconds of work."""
    picture = draw_face(640, 360, center=(320, 180))
    return encode([picture] * 400)


@pytest.fixture(scope="module")
def pool() -> Iterator[MediapipePool]:
    made = MediapipePool(OpenFaceAuSettings(mediapipe_processes=2, max_frames=1000))
    made.load()
    yield made
    made.close()


def in_threads(pool: MediapipePool, *videos: bytes) -> list:
    results: list = [None] * len(videos)

    def one(index: int) -> None:
        results[index] = pool.run([videos[index]])[0]

    threads = [threading.Thread(target=one, args=(index,)) for index in range(len(videos))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def gone(pid: int, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_results_are_the_engine_s_own(pool: MediapipePool, engine: MediapipeEngine, video: bytes, tmp_path) -> None:
    path = tmp_path / "a clip 片段.mp4"
    path.write_bytes(video)
    batch = [video, b"no video", path, b""]
    measured, fault, by_path, empty = pool.run(batch)
    assert len(pool._workers) == 1  # a second one was not needed yet
    expected = engine.run(batch)
    assert measured == by_path == expected[0] == expected[2]
    for got, own in ((fault, expected[1]), (empty, expected[3])):
        assert (type(got), str(got), got.reason) == (UnreadableMedia, str(own), own.reason)
    assert pool.info() == MediapipePool(OpenFaceAuSettings(mediapipe_processes=1, max_frames=1000)).info()


def test_as_many_at_once_as_there_are_lanes(pool: MediapipePool, video: bytes) -> None:
    expected = pool.run([video])[0]
    assert in_threads(pool, *[video] * 6) == [expected] * 6
    assert len(pool._workers) == 2


def test_a_worker_killed_once_costs_nothing(pool: MediapipePool, video: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = pool.run([video])[0]
    killed: list[int] = []

    def first_is_killed(self: WorkerProcess, source: bytes, is_wanted):
        if not killed:
            killed.append(self.pid)
            os.kill(self.pid, signal.SIGKILL)
        return measure(self, source, is_wanted)

    measure = WorkerProcess.measure
    monkeypatch.setattr(WorkerProcess, "measure", first_is_killed)
    assert pool.run([video])[0] == expected
    assert killed and killed[0] not in {worker.pid for worker in pool._workers}


def test_a_video_that_always_ends_its_worker_costs_itself_alone(
    pool: MediapipePool, video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def segv(self: WorkerProcess, source: bytes, is_wanted):
        if source == b"guilty":
            os.kill(self.pid, signal.SIGSEGV)
        return measure(self, source, is_wanted)

    measure = WorkerProcess.measure
    monkeypatch.setattr(WorkerProcess, "measure", segv)
    fault, neighbour = pool.run([b"guilty", video])
    assert isinstance(fault, EngineFault) and fault.reason == "ENGINE_ENDED"
    assert "SIGSEGV, each time" in str(fault)
    assert isinstance(neighbour, VideoResult)


def test_limits_and_a_missing_model_are_told_as_by_the_engine(tmp_path: Path, video: bytes) -> None:
    lacking = MediapipePool(OpenFaceAuSettings(mediapipe_processes=2, face_landmarker=tmp_path / "gone.task"))
    with pytest.raises(NotReady, match="no face landmarker") as caught:
        lacking.load()
    assert caught.value.reason == "MODEL_MISSING"
    lacking.close()
    strict = MediapipePool(OpenFaceAuSettings(mediapipe_processes=2, max_frames=4))
    strict.load()
    try:
        (refused,) = strict.run([video])
        assert isinstance(refused, TooLarge)
    finally:
        strict.close()


def test_one_lane_is_no_other_process(video: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process.subprocess, "Popen", lambda *a, **k: pytest.fail("a process was started"))
    alone = MediapipePool(OpenFaceAuSettings(mediapipe_processes=1))
    alone.load()
    assert isinstance(alone.run([video])[0], VideoResult)
    alone.close()


def test_an_interrupt_ends_what_is_in_work(long_video: bytes) -> None:
    stopping = MediapipePool(OpenFaceAuSettings(mediapipe_processes=2))
    stopping.load()
    (worker,) = stopping._workers
    timer = threading.Timer(0.3, stopping.interrupt)
    timer.start()
    (answer,) = stopping.run([long_video])
    assert isinstance(answer, NotReady) and "stopping" in str(answer)
    stopping.close()
    assert gone(worker.pid)
    assert isinstance(stopping.run([b"more"])[0], NotReady)


def test_a_video_that_nobody_waits_for_is_left_between_two_frames(
    pool: MediapipePool, video: bytes, long_video: bytes
) -> None:
    expected = pool.run([video])[0]
    before = set(pool.pids)
    asked = itertools.count()
    started = time.monotonic()
    (left,) = pool.run([long_video], lambda place: next(asked) < 3)
    assert isinstance(left, Abandoned) and time.monotonic() - started < 3
    assert pool.run([video])[0] == expected  # by the same process, and as before
    assert set(pool.pids) == before


def test_one_lane_leaves_it_too(video: bytes) -> None:
    alone = MediapipeEngine(OpenFaceAuSettings())
    alone.load()
    asked: list[int] = []

    def wanted(place: int) -> bool:
        asked.append(place)
        return place == 1 or asked.count(0) < 3

    left, kept = alone.run([video, video], wanted)
    assert isinstance(left, Abandoned) and asked.count(0) == 3
    assert kept == alone.run([video])[0]
    alone.close()


@pytest.mark.parametrize("busy", [False, True])
def test_no_worker_outlives_a_killed_service(busy: bool, long_video: bytes, tmp_path: Path) -> None:
    (tmp_path / "long.mp4").write_bytes(long_video)
    code = (
        "import sys, time, pathlib, threading\n"
        "from merrflow_openface_au.engines.mediapipe.pool import MediapipePool\n"
        "from merrflow_openface_au.settings import OpenFaceAuSettings\n"
        "pool = MediapipePool(OpenFaceAuSettings(mediapipe_processes=2)); pool.load()\n"
        "clip = pathlib.Path(sys.argv[1])\n"
        f"if {busy}: threading.Thread(target=pool.run, args=([clip],), daemon=True).start(); time.sleep(0.3)\n"
        "print(*(worker.pid for worker in pool._workers), flush=True); time.sleep(60)\n"
    )
    service = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "long.mp4")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert service.stdout is not None
        while not (line := service.stdout.readline()).strip().isdigit():  # the log's lines come first
            assert line
        pid = int(line)
        assert not gone(pid, 0.2)
    finally:
        service.kill()
        service.wait()
        service.stdout.close()
    assert gone(pid, 2.0)


def test_workers_are_not_told_secrets(pool: MediapipePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERRFLOW_OPENFACE_AU_TOKEN", "of the service")
    worker = WorkerProcess(OpenFaceAuSettings(mediapipe_processes=2))
    try:
        environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
        arguments = Path(f"/proc/{worker.pid}/cmdline").read_bytes()
    finally:
        worker.close()
    assert b"PATH=" in environment and b"of the service" not in environment + arguments


async def test_info_tells_how_many_requests_are_in_work_at_once() -> None:
    server = Server(SPEC, OpenFaceAuSettings(port=0, mediapipe_processes=3))
    assert server.service.describe().limits.max_batch_size == 3
    assert server.service.info.limits.max_batch_size == 1


@pytest.mark.parametrize(
    ("cores", "memory", "workers"),
    [
        (16, 64 << 30, 16),
        (16, OWN_BYTES + 3 * WORKER_BYTES, 3),
        (2, 0, 1),
        (1, 64 << 30, 1),
    ],
)
def test_one_worker_a_core_that_has_memory(
    monkeypatch: pytest.MonkeyPatch, cores: int, memory: int, workers: int
) -> None:
    monkeypatch.setattr(pool_module, "cores", lambda: cores)
    monkeypatch.setattr(pool_module, "host_memory", lambda: Memory(0, 0, free_bytes=memory))
    assert affordable_workers() == workers == MediapipePool(OpenFaceAuSettings()).lanes
    assert MediapipePool(OpenFaceAuSettings(mediapipe_processes=5)).lanes == 5

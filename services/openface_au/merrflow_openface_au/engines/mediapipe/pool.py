"""The `mediapipe` engine on several cores: one video for each core, each in a worker process.

Processes, not threads: a fifth of a video's work holds Python's interpreter lock, so more than four or five threads
gain nothing; and a video that crashes native code or takes all memory then fails alone.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

import structlog

from merrflow_openface_au.engines.mediapipe.engine import PROBLEM, MediapipeEngine
from merrflow_openface_au.engines.mediapipe.worker_process import WorkerExited, WorkerProcess
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import Source, VideoResult
from merrflow_serving.engine import EngineInfo, Wanted, always
from merrflow_serving.errors import Abandoned, EngineFault, MerrflowError, NotReady
from merrflow_serving.machine import cores, host_memory
from merrflow_serving.one_by_one import one_by_one

log = structlog.get_logger()
WORKER_BYTES = 512 << 20  # of a worker that measures 1920 x 1080; measured 490 MiB (docs/scale.md)
OWN_BYTES = 200 << 20  # of the service itself
TRIES = 2  # of a video that kills its worker


def affordable_workers() -> int:
    """Workers for this machine: one per core, but no more than fit its memory; at least 1."""
    return max(1, min(cores(), (host_memory().free_bytes - OWN_BYTES) // WORKER_BYTES))


class MediapipePool:
    """Measures `lanes` videos at once; that many threads may call `run`. With one lane there is no other process.

    Workers start when they are needed: a run of one clip starts one.
    """

    stops_early = True
    engine: type[MediapipeEngine] = MediapipeEngine  # what each worker loads

    def __init__(self, settings: OpenFaceAuSettings) -> None:
        self._settings = settings
        self.lanes = settings.mediapipe_processes or affordable_workers()
        self._own = self.engine(settings)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._workers: set[WorkerProcess] = set()
        # Last in, first out, so that few are started; None: not started, or exited.
        self._free: queue.LifoQueue[WorkerProcess | None] = queue.LifoQueue()
        for _ in range(self.lanes):
            self._free.put(None)

    def load(self) -> None:
        """Loads the engine, or the first worker. Raises `NotReady` with what to do."""
        if self.lanes == 1:
            self._own.load()
            return
        try:
            first = self._start()
        except WorkerExited as exited:
            raise NotReady(f"the process that measures videos {exited}") from exited
        self._free.get()
        self._free.put(first)
        log.info(self._own.info().engine, processes=self.lanes)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the running workers."""
        with self._lock:
            return tuple(worker.pid for worker in self._workers)

    def interrupt(self) -> None:
        """Makes every running `run` return at once, with `NotReady` for its videos."""
        self._stop.set()
        with self._lock:
            for worker in self._workers:
                worker.kill()

    def close(self) -> None:
        """Ends the workers and frees the networks."""
        self.interrupt()
        for worker in [self._free.get() for _ in range(self.lanes)]:  # each comes back at once, because it was killed
            if worker is not None:
                self._end(worker)
            self._free.put(None)  # callers that still wait get `NotReady`
        self._own.close()

    def info(self) -> EngineInfo:
        """As the engine: the number of processes changes no result."""
        return self._own.info()

    def run(self, batch: Sequence[Source], wanted: Wanted = always) -> list[VideoResult | MerrflowError]:
        """One result or error for each video, in order; a video that kills its worker fails alone."""
        if self.lanes == 1:
            return self._own.run(batch, wanted)
        return one_by_one(batch, self._measure, wanted, problem=PROBLEM)

    def _measure(self, source: Source, is_wanted: Callable[[], bool]) -> VideoResult | MerrflowError:
        worker = self._free.get()
        try:
            how = ""
            for _ in range(TRIES):
                if self._stop.is_set():
                    break
                if not is_wanted():
                    return Abandoned()
                try:
                    worker = worker or self._start()
                    return worker.measure(source, is_wanted)
                except WorkerExited as exited:
                    how = str(exited)
                    if worker is not None:
                        self._end(worker)
                        worker = None
                    log.warning("a worker exited", how=how, in_stop=self._stop.is_set())
            if self._stop.is_set():
                return NotReady("the service is stopping")
            return EngineFault(
                f"the process that measured the video was {how}, each time it worked on it", reason="ENGINE_ENDED"
            )
        finally:
            self._free.put(worker)

    def _start(self) -> WorkerProcess:
        worker = WorkerProcess(self._settings, self.engine)
        with self._lock:
            self._workers.add(worker)
            if self._stop.is_set():
                worker.kill()
        return worker

    def _end(self, worker: WorkerProcess) -> None:
        with self._lock:
            self._workers.discard(worker)
        worker.close()

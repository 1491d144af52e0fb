"""How fast openface-au's embedded engine is: `python -m benchmarks.action_units`.

Frames a second and core, decoding included, in processor time, so that the result does not depend on how busy the
machine is. For comparison: the engine as it was before (an object for each landmark, new memory and a new conversion
plan for each picture), alternating on the same clips; the limit that the networks alone set; and how the service
scales with its worker processes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.support.clip_files import Stopwatch, clips_in
from merrflow_openface_au.engines.mediapipe import engine as engine_module
from merrflow_openface_au.engines.mediapipe import face_detector, landmarks
from merrflow_openface_au.engines.mediapipe.engine import MediapipeEngine
from merrflow_openface_au.engines.mediapipe.pool import MediapipePool
from merrflow_openface_au.engines.mediapipe.ring_buffer import PictureRing
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import VideoResult
from merrflow_serving.media.video import VideoFrame

LEAST_SHARE = 0.5  # of the networks' own speed; the rest is decoding, pictures and arithmetic


def make_engine() -> MediapipeEngine:
    """The engine with default settings, loaded."""
    engine = MediapipeEngine(OpenFaceAuSettings())
    engine.load()
    return engine


@contextmanager
def as_before() -> Iterator[None]:
    """The engine as it was before: slower, with the same results."""

    def plain(frame: VideoFrame, longest: int) -> np.ndarray:
        return view(VideoFrame(frame.index, frame.timestamp, frame.raw), longest)

    view = VideoFrame.view
    with (
        patch.object(landmarks, "detect", landmarks.read_objects),
        patch.object(PictureRing, "keep", lambda self, picture: np.ascontiguousarray(picture)),
        patch.object(VideoFrame, "view", plain),
    ):
        yield


@contextmanager
def watched(watch: Stopwatch) -> Iterator[dict[str, int]]:
    """Counts decodes, decoded frames and allocations for pictures; times the networks."""
    counts = {"decodes": 0, "frames_decoded": 0, "pictures_made": 0}
    frames_of, look, search = engine_module.iter_frames, landmarks.detect, face_detector.FaceDetector._detect

    def counted(*arguments: Any, **named: Any) -> Iterator[VideoFrame]:
        counts["decodes"] += 1
        for frame in frames_of(*arguments, **named):
            counts["frames_decoded"] += 1
            yield frame

    def timed_look(*arguments: Any) -> Any:
        with watch.of("networks"):
            return look(*arguments)

    def timed_search(*arguments: Any, **named: Any) -> Any:
        with watch.of("networks"):
            return search(*arguments, **named)

    def made(self: PictureRing, picture: np.ndarray) -> np.ndarray:
        before = [id(slot) for slot in self._slots]
        kept = keep(self, picture)
        counts["pictures_made"] += before != [id(slot) for slot in self._slots]
        return kept

    keep = PictureRing.keep
    with (
        patch.object(engine_module, "iter_frames", counted),
        patch.object(landmarks, "detect", timed_look),
        patch.object(face_detector.FaceDetector, "_detect", timed_search),
        patch.object(PictureRing, "keep", made),
    ):
        yield counts


def measure(engine: MediapipeEngine, clips: list[Path]) -> tuple[list[VideoResult], float]:
    """Results, and the processor seconds they took."""
    started = time.process_time()
    results = engine.run(clips)
    for result, clip in zip(results, clips, strict=True):
        if not isinstance(result, VideoResult):
            raise SystemExit(f"{clip.name}: {result}")
    return results, time.process_time() - started


def compare(engine: MediapipeEngine, clips: list[Path]) -> dict[str, Any]:
    """Each clip both ways, alternating, and once more with counters."""
    now = before = 0.0
    frames, same = 0, True
    for clip in clips:
        with as_before():
            old, seconds = measure(engine, [clip])
        before += seconds
        new, seconds = measure(engine, [clip])
        now += seconds
        same &= old == new
        frames += len(new[0].frames)
    watch = Stopwatch()
    with watched(watch) as counts:
        _, whole = measure(engine, clips)
    return {
        "frames": frames,
        "frames_per_core_second": round(frames / now, 1),
        "before": round(frames / before, 1),
        "limit_networks_alone": round(frames / watch.seconds["networks"], 1),
        "share_of_limit": round(watch.seconds["networks"] / whole, 3),
        "same_results": same,
        "clips": len(clips),
        **counts,
    }


def processor_seconds(pid: int) -> float:
    """Of a process, all threads (proc_pid_stat(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_mebibytes(pid: int) -> float:
    """Memory of a process in MiB; shared memory counts in part (PSS)."""
    found = re.search(r"^Pss: +(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def scaling(clips: list[Path], workers: int) -> dict[str, float]:
    """The service's engine with `workers` at once, each on all clips; processor time includes the service's own."""
    pool = MediapipePool(OpenFaceAuSettings(mediapipe_processes=workers))
    pool.load()
    with ThreadPoolExecutor(workers) as threads:

        def everywhere() -> list[list[VideoResult]]:
            return list(threads.map(lambda _: pool.run(clips), range(workers)))

        everywhere()  # starts and warms them
        before = {pid: processor_seconds(pid) for pid in (*pool.pids, os.getpid())}
        began = time.monotonic()
        rows = everywhere()
        wall = time.monotonic() - began
        took = sum(processor_seconds(pid) - seconds for pid, seconds in before.items())
        memory = max((own_mebibytes(pid) for pid in pool.pids), default=0.0)
    pool.close()
    frames = sum(len(result.frames) for row in rows for result in row)
    return {
        "workers": workers,
        "frames_per_second": round(frames / wall, 1),
        "frames_per_core_second": round(frames / took, 1),
        "cores_had": round(took / wall, 2),
        "worker_mib": round(memory),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.action_units", description=__doc__)
    parser.add_argument("--clips", type=Path, help="a folder of mp4 files")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], help="how many to try (default: 1 2)")
    options = parser.parse_args(arguments)
    clips = clips_in(options.clips)
    engine = make_engine()
    measure(engine, clips[:1])  # warm
    figures = compare(engine, clips)
    engine.close()
    figures["scaling"] = [scaling(clips, count) for count in options.workers]
    figures["load"] = round(os.getloadavg()[0], 1)
    print(f"frames a core second   {figures['frames_per_core_second']:8.1f}   before {figures['before']:.1f}")
    print(f"networks alone         {figures['limit_networks_alone']:8.1f}   limit: all else costs nothing")
    print(f"share of that limit    {figures['share_of_limit']:8.2f}   at least {LEAST_SHARE}")
    print(f"decodes of a clip      {figures['decodes'] / figures['clips']:8.2f}   limit 1")
    print(f"memory for pictures    {figures['pictures_made']:8d}   of {figures['frames']} frames")
    for row in figures["scaling"]:
        print(
            f"{row['workers']} workers              {row['frames_per_core_second']:8.1f}   frames a core second; "
            f"{row['frames_per_second']:.1f} a second on {row['cores_had']:.2f} cores"
        )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

"""How fast openface-au's embedded engine is: `python -m benchmarks.action_units`.

Frames a second and core, decoding included, in processor time, so that the result does not depend on how busy the
machine is; what the networks alone take of it; and how the service scales with its worker processes.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.support.clip_files import Stopwatch, clips_in
from benchmarks.support.processes import own_cpu_seconds, shared_out_mib
from merrflow_openface_au.engines.mediapipe import engine as engine_module
from merrflow_openface_au.engines.mediapipe.engine import MediapipeEngine
from merrflow_openface_au.engines.mediapipe.face_networks import FaceNetworks
from merrflow_openface_au.engines.mediapipe.pool import MediapipePool
from merrflow_openface_au.engines.mediapipe.tflite import TfliteNetwork
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
def watched(watch: Stopwatch) -> Iterator[dict[str, int]]:
    """Counts decodes and decoded frames; times decoding and the networks."""
    counts = {"decodes": 0, "frames_decoded": 0}
    frames_of, run, run_looks = engine_module.iter_frames, TfliteNetwork.run, FaceNetworks._run

    def counted(*arguments: Any, **named: Any) -> Iterator[VideoFrame]:
        counts["decodes"] += 1
        frames = frames_of(*arguments, **named)
        while True:
            with watch.of("decoding"):
                frame = next(frames, None)
            if frame is None:
                return
            counts["frames_decoded"] += 1
            yield frame

    def timed(*arguments: Any) -> Any:
        with watch.of("networks"):
            return run(*arguments)

    def timed_looks(*arguments: Any) -> Any:
        with watch.of("networks"):
            return run_looks(*arguments)

    with (
        patch.object(engine_module, "iter_frames", counted),
        patch.object(TfliteNetwork, "run", timed),
        patch.object(FaceNetworks, "_run", timed_looks),
    ):
        yield counts


def measure(engine: MediapipeEngine, clips: list[Path]) -> tuple[list[VideoResult], float]:
    """Results, and the processor seconds they took."""
    started = time.process_time()
    results = engine.run(clips)
    took = time.process_time() - started
    found = []
    for result, clip in zip(results, clips, strict=True):
        if not isinstance(result, VideoResult):
            raise SystemExit(f"{clip.name}: {result}")
        found.append(result)
    return found, took


def parts(engine: MediapipeEngine, clips: list[Path]) -> dict[str, Any]:
    """All clips, and once more with counters."""
    results, whole = measure(engine, clips)
    frames = sum(len(result.frames) for result in results)
    watch = Stopwatch()
    with watched(watch) as counts:
        _, timed = measure(engine, clips)
    return {
        "frames": frames,
        "frames_per_core_second": round(frames / whole, 1),
        "limit_networks_alone": round(frames / watch.seconds["networks"], 1),
        "share_of_networks": round(watch.seconds["networks"] / timed, 3),
        "share_of_decoding": round(watch.seconds["decoding"] / timed, 3),
        "clips": len(clips),
        **counts,
    }


def scaling(clips: list[Path], workers: int) -> dict[str, float]:
    """The service's engine with `workers` at once, each on all clips; processor time includes the service's own."""
    pool = MediapipePool(OpenFaceAuSettings(mediapipe_processes=workers))
    pool.load()
    with ThreadPoolExecutor(workers) as threads:

        def everywhere() -> list[list[VideoResult]]:
            return list(threads.map(lambda _: pool.run(clips), range(workers)))

        everywhere()  # starts and warms them
        before = {pid: own_cpu_seconds(pid) for pid in (*pool.pids, os.getpid())}
        began = time.monotonic()
        rows = everywhere()
        wall = time.monotonic() - began
        took = sum(own_cpu_seconds(pid) - seconds for pid, seconds in before.items())
        memory = max((shared_out_mib(pid) for pid in pool.pids), default=0.0)
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
    figures = parts(engine, clips)
    engine.close()
    figures["scaling"] = [scaling(clips, count) for count in options.workers]
    figures["load"] = round(os.getloadavg()[0], 1)
    print(f"frames a core second   {figures['frames_per_core_second']:8.1f}")
    print(f"networks alone         {figures['limit_networks_alone']:8.1f}   limit: all else costs nothing")
    print(f"share of the networks  {figures['share_of_networks']:8.2f}   at least {LEAST_SHARE}")
    print(f"share of decoding      {figures['share_of_decoding']:8.2f}")
    print(f"decodes of a clip      {figures['decodes'] / figures['clips']:8.2f}   limit 1")
    for row in figures["scaling"]:
        print(
            f"{row['workers']} workers              {row['frames_per_core_second']:8.1f}   frames a core second; "
            f"{row['frames_per_second']:.1f} a second on {row['cores_had']:.2f} cores"
        )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

"""The four services with engines that take a fixed time for a batch, however full: real processes, real gRPC.

    python -m benchmarks.support.fixed_services llama3 --address-file FILE

With them, everything except the models is measured. An engine records when it worked, and writes that to a file when it
is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from merrflow_llama3 import LabelScore, Outcome, Reasoned, Scored, ScoreItem
from merrflow_minigpt_v2.types import Scene
from merrflow_openface_au.types import ActionUnitValue, FaceResult, FrameResult, Pose, VideoResult
from merrflow_qwen_audio.types import Content, Tone
from merrflow_serving import logs
from merrflow_serving.__main__ import load_spec
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.server import serve

ROOT = Path(__file__).parents[2]
UNITS = tuple(f"AU{code:02}" for code in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))


@dataclass(frozen=True)
class Pace:
    """How fast an engine is."""

    seconds: float  # of a batch, however full
    batch: int  # items

    @property
    def ceiling(self) -> float:
        """Items a second that cannot be exceeded; infinite for an engine that takes no time."""
        return self.batch / self.seconds if self.seconds else math.inf


@dataclass(frozen=True)
class Noted:
    """What an engine did after its warm-up."""

    items: int
    batches: int
    busy_seconds: float  # in which it worked on a batch
    span_seconds: float  # from the start of its first batch to the end of its last
    cpu_seconds: float  # of the service's process

    def share_busy(self) -> float:
        """Share of its span in which it worked."""
        return self.busy_seconds / self.span_seconds if self.span_seconds else 0.0

    def share_of_ceiling(self, pace: Pace) -> float:
        """Its items a second as a share of the most that its pace allows; 1 only if every batch was full."""
        return self.items / self.span_seconds / pace.ceiling if self.span_seconds else 0.0


class Fixed:
    """An engine with the pace that the environment sets; subclasses answer."""

    def __init__(self, settings: Any) -> None:
        self._pace = Pace(**json.loads(os.environ.get("BENCHMARK_PACE", '{"seconds": 0.02, "batch": 16}')))
        self._frames = int(os.environ.get("BENCHMARK_FRAMES", "12"))
        self._notes = os.environ.get("BENCHMARK_NOTES", "")
        self._worked: list[tuple[float, float, int]] = []  # start, end, items of each batch

    def load(self) -> None:
        pass

    def info(self) -> EngineInfo:
        limits = Limits(max_batch_size=self._pace.batch)
        return EngineInfo("fixed", "fixed", "1", prompt_version="1", scoring_prompt_version="1", limits=limits)

    def run(self, batch: Sequence[Any]) -> list[Any]:
        started = time.monotonic()
        answers = [self.answer(item) for item in batch]
        time.sleep(max(0.0, started + self._pace.seconds - time.monotonic()))
        self._worked.append((started, time.monotonic(), len(batch)))
        return answers

    def answer(self, item: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        if self._notes:
            Path(self._notes).write_text(json.dumps(asdict(noted(self._worked[1:]))))  # the first is the warm-up


class FixedActionUnits(Fixed):
    """A smile that grows to the middle of the clip, on one face."""

    def answer(self, item: Any) -> VideoResult:
        middle = self._frames // 2
        frames = tuple(self._frame(i, 3.0 - abs(i - middle) / middle * 2) for i in range(self._frames))
        return VideoResult(96, 64, 25.0, UNITS, frames)

    def _frame(self, index: int, strength: float) -> FrameResult:
        smile = {"AU06", "AU12"}
        units = {name: ActionUnitValue(strength if name in smile else 0.1, name in smile) for name in UNITS}
        return FrameResult(
            index, index / 25, (FaceResult((20.0, 10.0, 30.0, 40.0), 0.95, Pose(0, 5, 0), units, 0.1, False),)
        )


class FixedScene(Fixed):
    def answer(self, item: Any) -> Scene:
        return Scene("One person is shown in a medium shot, facing the camera; the room behind is dim and plain.")


class FixedTone(Fixed):
    def answer(self, item: Any) -> Tone:
        return Tone("The voice is low-pitched and quiet, with a slow pace and long pauses.", Content.SPEECH)


class FixedReasoner(Fixed):
    def answer(self, item: Any) -> Scored | Reasoned:
        if isinstance(item, ScoreItem):
            return Scored(tuple(LabelScore(label, 1 / len(item.labels), -1.0) for label in item.labels), 300)
        return Reasoned("The smile and the quiet voice tell of joy, held back. " * 8, Outcome.DONE, "", 400, 120, 1)


ENGINES = {"openface-au": FixedActionUnits, "minigpt-v2": FixedScene, "qwen-audio": FixedTone, "llama3": FixedReasoner}


def noted(worked: Sequence[tuple[float, float, int]]) -> Noted:
    """The sums of batches: start and end in seconds, items."""
    return Noted(
        items=sum(items for _, _, items in worked),
        batches=len(worked),
        busy_seconds=sum(end - start for start, end, _ in worked),
        span_seconds=worked[-1][1] - worked[0][0] if worked else 0.0,
        cpu_seconds=time.process_time(),
    )


class Running:
    """A service's process, with its files in `folder`."""

    def __init__(self, name: str, pace: Pace, folder: Path, *, frames: int) -> None:
        self._name = name
        self._address, self._notes = folder / f"{name}.address", folder / f"{name}.notes"
        self._log = folder / f"{name}.log"
        environment = os.environ | {
            "BENCHMARK_PACE": json.dumps(asdict(pace)),
            "BENCHMARK_NOTES": str(self._notes),
            "BENCHMARK_FRAMES": str(frames),
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __spec__.name, name, "--address-file", str(self._address)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=ROOT,
            )

    def wait_started(self, deadline: float) -> None:
        """Returns once it has an address. Raises `RuntimeError` if it ends, or at `deadline` (monotonic seconds)."""
        while not self._address.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._name} did not start; see {self._log}")
            time.sleep(0.05)

    @property
    def address(self) -> str:
        return self._address.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> Noted:
        """Drains and ends it; returns what its engine did."""
        self.end()
        return Noted(**json.loads(self._notes.read_text()))

    def end(self) -> None:
        """Drains and ends it, if it still runs."""
        if self._process.poll() is None:
            self._process.stdin.close()
            self._process.wait(60)


@contextmanager
def fixed_services(folder: Path, paces: dict[str, Pace], *, frames: int = 12) -> Iterator[dict[str, Running]]:
    """The services of these paces, loaded, each a process with its files in `folder`."""
    running: dict[str, Running] = {}
    try:
        for name, pace in paces.items():
            running[name] = Running(name, pace, folder, frames=frames)
        for one in running.values():
            one.wait_started(time.monotonic() + 120)
        yield running
    finally:
        for one in running.values():
            one.end()


def main() -> None:
    """Runs one service until its standard input closes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("service", choices=tuple(ENGINES))
    parser.add_argument("--address-file", type=Path, required=True)
    options = parser.parse_args()
    spec = load_spec(options.service)
    spec = replace(spec, engines={"fixed": f"{__spec__.name}:{ENGINES[options.service].__name__}"})
    settings = spec.settings(host="127.0.0.1", port=0, engine="fixed", max_queue=1024, log_level="warning")
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(serve(spec, settings, address_file=options.address_file, stop_with_stdin=True))


if __name__ == "__main__":
    main()

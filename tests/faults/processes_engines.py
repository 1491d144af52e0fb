"""The four services with engines that misbehave on purpose, for real processes: which clip does what is a file's word.

The file MERRFLOW_FAULTS_PLAN holds `{"openface-au": {"clip name": "abort"}}`; "*" stands for any clip, and the file is
read at each call. Every call of an engine is a line in MERRFLOW_FAULTS_LOG, which outlives the process.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from merrflow_llama3.types import ScoreItem
from merrflow_serving import service as serving
from merrflow_serving.errors import EngineFault
from merrflow_serving.service import ServiceSpec
from tests.orchestrator.fakes import SPECS

MIB = 1 << 20
serving.NATIVE_SECONDS = 2.0  # so that no test waits long


def planned(service: str) -> dict[str, str]:
    """Clip -> what its engine does."""
    path = os.environ.get("MERRFLOW_FAULTS_PLAN")
    return json.loads(Path(path).read_text()).get(service, {}) if path else {}


def note(service: str, clip: str) -> None:
    """One line for one call, in one write, so that no kill leaves half of it."""
    path = os.environ.get("MERRFLOW_FAULTS_LOG")
    if path:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{service}\t{clip}\n".encode())
        os.close(file)


def _eat() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(16 * MIB))


def _eat_in_native_code() -> None:
    """What a C++ library does where memory ends: nobody catches its exception."""
    try:
        _eat()
    except MemoryError:
        os.abort()


def _raise(error: BaseException) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


class _Unprintable(RuntimeError):
    def __str__(self) -> str:
        raise ValueError("no words")


# What happens within `run`, before there is an answer.
DEEDS: dict[str, Callable[[], Any]] = {
    "abort": os.abort,
    "segv": lambda: ctypes.string_at(0),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),  # as the kernel does where memory ends
    "hang": lambda: time.sleep(3600),
    "hang with the interpreter": lambda: ctypes.PyDLL(None).sleep(3600),  # native code that keeps the lock
    "eat memory": _eat,
    "eat memory in native code": _eat_in_native_code,
    "late": lambda: time.sleep(0.7),
    "raise": _raise(RuntimeError("the model broke")),
    "exit": lambda: sys.exit(3),
    "end": lambda: os._exit(3),
    "interrupt": _raise(KeyboardInterrupt()),
    "stop iteration": _raise(StopIteration()),
    "raise what cannot be printed": _raise(_Unprintable()),
}


def begin(service: str) -> None:
    """What the plan says of a process that starts, before it listens: `{"start": "killed 2"}` for the first two."""
    deed, _, times = planned(service).get("start", "").rpartition(" ")
    if deed:
        note(service, "start")
        line = f"{service}\tstart"
        if Path(os.environ["MERRFLOW_FAULTS_LOG"]).read_text().splitlines().count(line) <= int(times):
            print(f"{service} comes to grief", file=sys.stderr, flush=True)
            DEEDS[deed]()


class Misbehaving:
    """Before a fake engine: does what the plan says."""

    service = ""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.clips: dict[int, str] = {}  # id of an item -> its clip; the warm-up has none

    def load(self) -> None:
        bound = int(os.environ.get("MERRFLOW_FAULTS_MEMORY_MIB", "0"))
        if bound:
            resource.setrlimit(resource.RLIMIT_AS, (bound * MIB, bound * MIB))
        deed = planned(self.service).get("load", "")
        if deed:
            DEEDS[deed]()
        super().load()

    def close(self) -> None:
        deed = planned(self.service).get("close", "")
        if deed:
            DEEDS[deed]()

    def run(self, batch: list[Any]) -> Any:
        clips = [self.clips.get(id(item), "") for item in batch]
        plan = planned(self.service)
        deeds = [plan.get(clip, plan.get("*", "")) if clip else "" for clip in clips]
        time.sleep(float(os.environ.get("MERRFLOW_FAULTS_LATENCY", "0")) if any(clips) else 0)
        answers = []
        for item, clip, deed in zip(batch, clips, deeds, strict=True):
            if clip:
                note("scores" if isinstance(item, ScoreItem) else self.service, clip)
            if deed in DEEDS:
                DEEDS[deed]()
            answer = self._one(item)
            answers.append(GARBAGE[deed](answer) if deed in GARBAGE else answer)
        for deed in deeds:
            if deed in WHOLE:
                return WHOLE[deed](answers)
        return answers


def _but(**changes: Any) -> Callable[[Any], Any]:
    """The same answer with other values, in the fields that it has."""

    def change(answer: Any) -> Any:
        return replace(answer, **{name: value for name, value in changes.items() if hasattr(answer, name)})

    return change


def _faces(**changes: Any) -> Callable[[Any], Any]:
    def change(answer: Any) -> Any:
        frames = [
            replace(frame, faces=tuple(replace(face, **changes) for face in frame.faces)) for frame in answer.frames
        ]
        return replace(answer, frames=tuple(frames))

    return change


def _frames(indices: Callable[[int], int]) -> Callable[[Any], Any]:
    def change(answer: Any) -> Any:
        return replace(answer, frames=tuple(replace(one, index=indices(one.index)) for one in answer.frames))

    return change


def _scores(probability: float) -> Callable[[Any], Any]:
    def change(answer: Any) -> Any:
        if not hasattr(answer, "scores"):
            return answer
        return replace(answer, scores=tuple(replace(one, probability=probability) for one in answer.scores))

    return change


# What comes instead of one item's answer.
GARBAGE: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda answer: None,
    "a number": lambda answer: 7,
    "a class": lambda answer: ValueError,
    "an error as answer": lambda answer: ValueError("no answer"),
    "the end as answer": lambda answer: StopIteration(),
    "an exit as answer": lambda answer: SystemExit(3),
    "no UTF-8": _but(text="caf\udce9"),
    "huge text": _but(text="word " * 4_000_000),
    "no text": _but(text=""),
    "text of another type": _but(text=b"\xff\xfe"),
    "a box that is no number": _faces(box=(float("nan"), 0.0, 10.0, 10.0)),
    "a face at infinity": _faces(box=(0.0, 0.0, float("inf"), 10.0)),
    "confidence that is no number": _faces(confidence=float("nan")),
    "frames that are not there": _frames(lambda index: index + 1_000_000),
    "one frame again and again": _frames(lambda index: 0),
    "no frames": _but(frames=()),
    "scores that are no number": _scores(float("nan")),
    "scores above one": _scores(4.0),
    "no scores": lambda answer: replace(answer, scores=()) if hasattr(answer, "scores") else answer,
    "fault": lambda answer: EngineFault("the engine broke"),
}
# What comes instead of the whole batch's answers.
WHOLE: dict[str, Callable[[list[Any]], Any]] = {
    "too few": lambda answers: answers[:-1],
    "too many": lambda answers: [*answers, answers[0]],
    "nothing at all": lambda answers: None,
    "a generator": lambda answers: (one for one in answers),
    "a dictionary": lambda answers: dict(enumerate(answers)),
}


def _spec(name: str) -> ServiceSpec:
    spec, fake = SPECS[name]
    if fake is None:  # an optional service, which does not misbehave
        return spec
    engine = f"{__name__}:{name.replace('-', '_')}"
    globals()[name.replace("-", "_")] = type(f"Misbehaving{fake.__name__}", (Misbehaving, fake), {"service": name})
    return replace(spec, engines={"fake": engine}, register=_register(spec))


def _register(spec: ServiceSpec) -> Callable[[Any, Any], None]:
    """Tells the engine which clip an item is of, which it does not learn otherwise."""

    def register(service: Any, server: Any) -> None:
        run = service.run

        async def named(item: Any, *, clip: str = "") -> Any:
            service.engine.clips[id(item)] = clip
            try:
                return await run(item, clip=clip)
            finally:
                service.engine.clips.pop(id(item), None)

        service.run = named
        spec.register(service, server)

    return register


OPENFACE_AU = _spec("openface-au")
MINIGPT_V2 = _spec("minigpt-v2")
QWEN_AUDIO = _spec("qwen-audio")
LLAMA3 = _spec("llama3")
WHISPER = _spec("whisper")
if len(sys.argv) > 1:
    begin(sys.argv[1])

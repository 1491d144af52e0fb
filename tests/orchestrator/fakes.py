"""The four services with deterministic engines behind real gRPC, and tiny videos that tell them what to see.

What a fake engine answers depends on its input alone: a red video shows a smile, a blue one nobody, a grey one a
face at rest.
"""

from __future__ import annotations

import io
import threading
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import ClassVar

import av
import numpy as np

import merrflow_llama3
import merrflow_minigpt_v2
import merrflow_openface_au
import merrflow_qwen_audio
import merrflow_whisper
from merrflow_llama3.types import Clues, LabelScore, Reasoned, Scored, ScoreItem, Translated, TranslateItem
from merrflow_llama3.types import Outcome as TextOutcome
from merrflow_minigpt_v2.types import Scene
from merrflow_openface_au.types import ActionUnitValue, FaceResult, FrameResult, Pose, VideoResult
from merrflow_qwen_audio.types import Content, Tone
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.errors import MerrflowError
from merrflow_serving.media.video import iter_frames
from merrflow_serving.server import Server
from merrflow_serving.service import ServiceSpec
from merrflow_whisper import Segment, Transcript

COLORS = {"red": (200, 30, 30), "blue": (30, 30, 200), "grey": (128, 128, 128)}
calls: Counter[str] = Counter()
trouble: dict[str, object] = {}  # service -> an error to raise, once a call, until removed


def make_video(path: Path, color: str, *, frames: int = 12, sound: bool = True, seed: int = 0) -> Path:
    """A 96x64 video at 25 fps of one colour, with a tone as its sound. `seed` makes files differ."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_video(color, frames, sound, seed))
    return path


@cache
def _video(color: str, frames: int, sound: bool, seed: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        for number in range(frames):
            image = np.full((64, 96, 3), COLORS[color], np.uint8)
            image[0, 0] = seed % 256
            image[8:24, number : number + 8] = 255
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode())
        if audio:
            time = np.arange(16000 * frames // 25) / 16000
            wave = (0.2 * np.sin(2 * np.pi * (200 + seed) * time)).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return file.getvalue()


class _Fake:
    service = ""
    revision = "1"

    def __init__(self, settings) -> None:
        pass

    def load(self) -> None:
        pass

    def close(self) -> None:
        pass

    def info(self) -> EngineInfo:
        return EngineInfo("fake", f"fake-{self.service}", self.revision, limits=Limits(max_batch_size=4))

    def run(self, batch):
        return [self._one(item) for item in batch]

    def _one(self, item):
        kind = {ScoreItem: "scores", TranslateItem: "translations"}.get(type(item), self.service)
        calls[kind] += 1
        for name in (self.service, kind):
            if name in trouble:
                return trouble[name]
        try:
            return self.answer(item)
        except MerrflowError as error:
            return error


class FakeActionUnits(_Fake):
    service = "openface-au"

    def answer(self, source):
        frames = []
        for frame in iter_frames(source):
            red, _, blue = frame.image.reshape(-1, 3).mean(axis=0)
            smile = red > blue + 50
            strength = 1.0 + min(frame.index, 8) / 4 if smile else 0.0
            units = {name: ActionUnitValue(strength, smile) for name in ("AU06", "AU12")}
            units["AU25"] = ActionUnitValue(0.1, False)
            face = FaceResult((20.0, 10.0, 30.0, 40.0), 0.95, Pose(0, 5, 0), units, 0.1, False)
            frames.append(FrameResult(frame.index, frame.timestamp, () if blue > red + 50 else (face,)))
        return VideoResult(96, 64, 25.0, ("AU06", "AU12", "AU25"), tuple(frames))


class RoomierActionUnits(FakeActionUnits):
    """The same, and takes longer videos."""

    def info(self) -> EngineInfo:
        return replace(super().info(), limits=Limits(max_batch_size=4, max_frames=1000))


class NewerActionUnits(FakeActionUnits):
    """Another model with the same answers."""

    revision = "2"


class FakeScene(_Fake):
    service = "minigpt-v2"

    def answer(self, item):
        height, width = item.image.shape[:2]
        return Scene(f"One person stands in a room of {width} by {height}.")


class NewerScene(FakeScene):
    """Another model, which sees something else."""

    revision = "2"

    def answer(self, item):
        return Scene("Somebody stands in a room.")


class SlowScene(FakeScene):
    """The same after a while, and most of it only once somebody has looked: however slow that is on a busy machine."""

    looked = threading.Event()  # set by who looks
    first = 10  # answers before it
    answered = 0

    def answer(self, item):
        time.sleep(0.3)
        if self.answered >= self.first:
            self.looked.wait(240)
        self.answered += 1
        return super().answer(item)


class FakeTone(_Fake):
    service = "qwen-audio"

    def answer(self, item):
        return Tone(f"The voice is loud for {len(item.samples) / 16000:.1f} seconds.", Content.SPEECH)


class NewerTone(FakeTone):
    """Another model, which hears something else."""

    revision = "2"

    def answer(self, item):
        return Tone("The voice is calm.", Content.SPEECH)


class FakeTranscriber(_Fake):
    service = "whisper"

    def answer(self, item):
        text = f"We talk for {item.seconds:.1f} seconds."
        return Transcript(text, (Segment(0.0, item.seconds, text, 0.75, 0.1),), "en", 0.9)


class FakeReasoner(_Fake):
    service = "llama3"
    prompt = "reasoning-1"
    scoring = "scoring-1"

    def info(self) -> EngineInfo:
        return replace(super().info(), prompt_version=self.prompt, scoring_prompt_version=self.scoring)

    def answer(self, item):
        if isinstance(item, ScoreItem):
            return scored(item.labels, "angry" if "shouts" in item.clues.tone else "happy")
        return Reasoned(f"This person feels {item.clues.label}. Seed {item.seed}.", TextOutcome.DONE, "", 10, 5, 1)


class JudgingReasoner(FakeReasoner):
    """Scores by the prompt for judging claims: a claim is true if a clue has its last word, else it is not known."""

    scoring = "judge@1+0"

    def answer(self, item):
        if not item.clues.other_expressions:  # as it is warmed up
            return super().answer(item)
        claim = item.clues.other_expressions[0]
        known = f"{item.clues.scene} {item.clues.tone} {item.clues.subtitle} {item.clues.expressions}".casefold()
        best = "true" if claim.split()[-1].casefold() in known else "unknown"
        share = {label: 0.8 if label == best else 0.2 / (len(item.labels) - 1) for label in item.labels}
        return Scored(tuple(LabelScore(label, share[label], -1.0) for label in item.labels), 10)


def scored(labels, best: str) -> Scored:
    """One label half of the chance, the others the rest."""
    share = {label: 0.5 if label == best else 0.5 / (len(labels) - 1) for label in labels}
    return Scored(tuple(LabelScore(label, share[label], -1.0) for label in labels), 10)


class Translator(FakeReasoner):
    """The same, and translates. `clues`: what the last one loaded was given to reason and to score with."""

    translation = "translation-1"
    clues: ClassVar[list[Clues]] = []

    def load(self) -> None:
        self.clues.clear()

    def info(self) -> EngineInfo:
        return replace(super().info(), translation_prompt_version=self.translation)

    def answer(self, item):
        if isinstance(item, TranslateItem):
            return self.translated(item)
        self.clues.append(item.clues)
        return super().answer(item)

    def translated(self, item: TranslateItem) -> Translated:
        return Translated("I don't know what to do.", TextOutcome.DONE, "", 40, 9, 2)


class DoubtfulTranslator(Translator):
    """No answer of its model was a translation."""

    def translated(self, item: TranslateItem) -> Translated:
        return Translated("", TextOutcome.REFUSED, "only 0% of its letters are Latin", 40, 9, 3)


class OtherTranslations(Translator):
    """The same with another prompt for translating."""

    translation = "translation-2"


class NewerReasoner(FakeReasoner):
    """The same with another model: only its stage is new work."""

    revision = "2"


class NewerPrompt(FakeReasoner):
    """The same with another prompt for its texts."""

    prompt = "reasoning-2"


class NewerScorer(FakeReasoner):
    """The same with another prompt for scoring labels."""

    scoring = "scoring-2"


SPECS = {
    "openface-au": (merrflow_openface_au.SPEC, FakeActionUnits),
    "minigpt-v2": (merrflow_minigpt_v2.SPEC, FakeScene),
    "qwen-audio": (merrflow_qwen_audio.SPEC, FakeTone),
    "llama3": (merrflow_llama3.SPEC, FakeReasoner),
    "whisper": (merrflow_whisper.SPEC, None),  # optional: started if it is asked for
}


@asynccontextmanager
async def served(name: str, cls: type, port: int = 0, spec: ServiceSpec | None = None):
    """One service with this engine; gives its server. spec: in place of the service's own."""
    spec = replace(spec or SPECS[name][0], engines={"fake": f"{cls.__module__}:{cls.__name__}"})
    server = Server(spec, spec.settings(port=port, drain_seconds=1, engine="fake"))
    await server.start()
    await server.wait_ready()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def fake_services(**engines):
    """Starts the four, and what else `engines` names; gives the settings that name them: `{"llama3_address": ...}`."""
    servers = {}
    for name, (spec, cls) in SPECS.items():
        cls = engines.get(name.replace("-", "_"), cls)
        if cls is None:
            continue
        spec = replace(spec, engines={"fake": f"{__name__}:{cls.__name__}"})
        servers[name] = Server(spec, spec.settings(port=0, drain_seconds=1, engine="fake"))
        await servers[name].start()
        await servers[name].wait_ready()
    calls.clear()  # of the warm-up
    try:
        yield {f"{name.replace('-', '_')}_address": server.address for name, server in servers.items()}
    finally:
        for server in servers.values():
            await server.stop()

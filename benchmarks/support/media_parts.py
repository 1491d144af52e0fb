"""What reading a clip costs, part by part, beside decoding it once with one thread and doing nothing else.

Once with a clock between the parts, whose own time is then in them, and once more as one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av

from merrflow.core.measurements import Peak
from merrflow.pipeline.process_wide import set_for_a_run
from merrflow.stages import peak_frame, perceptual_hash, probe, voice
from merrflow.stages.cuts import Cuts
from merrflow_serving.media.video import VideoFrame

LIMITS = dict(max_seconds=3600, max_pixels=1 << 26)
DECODING, AGAIN = "decoding", "decoding again up to the peak"
PLAIN, PLAIN_ALL = "one plain decode", "one plain decode, with sound"
WHOLE = "all, decoded once, timed as one"


@dataclass
class Shares:
    """Processor seconds by part; what a part calls of another counts for that one only."""

    seconds: dict[str, float] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)
    _last: float = 0.0

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        self._turn()
        self._open.append(part)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def _turn(self) -> None:
        """What has passed belongs to the part that is open."""
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._last
        self._last = now

    def around(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        """The function, whose time is the part's."""

        def timed(*arguments: Any, **named: Any) -> Any:
            with self.of(part):
                return function(*arguments, **named)

        return timed


class Middle:
    """Keeps the frames that the picture of the middle takes, as `stages/foreseen.py` does."""

    def __init__(self) -> None:
        self.kept: list[VideoFrame] = []
        self._wanted: frozenset[int] = frozenset()

    def begin(self, promised: Any, rate: Any) -> None:
        self._wanted = peak_frame.frames_of(promised, middle(promised.frame_count), peak_frame.Choice())

    def see(self, frame: VideoFrame) -> None:
        if frame.index in self._wanted:
            self.kept.append(replace(frame))


def middle(frames: int) -> Peak:
    """The middle of a clip as its peak: the mean of MERR's."""
    return Peak(frames // 2, 0.0, (), {}, (), 0.0, "the middle")


def read(clip: Path, shares: Shares) -> probe.Probe:
    """Reads a clip as a run does, by parts and as one, then its picture by decoding again, and decodes it plainly."""
    timed = (
        (VideoFrame.__dict__["small"], "func", "small pictures"),
        (Cuts, "add", "shot cuts"),
        (perceptual_hash, "frame_hash", "hashes of pictures"),
        (probe, "_sound", "sound"),
        (voice, "voice_energy", "voice and hashes of sound"),
        (perceptual_hash, "sound_hashes", "voice and hashes of sound"),
        (peak_frame, "encode_png", "picture: PNG"),
        (peak_frame, "encode_jpeg", "picture: JPEG files"),
    )
    with ExitStack() as stack:
        for owner, name, part in timed:
            stack.enter_context(patch.object(owner, name, shares.around(getattr(owner, name), part)))
        facts, kept = once(clip, shares.of)
    with shares.of(WHOLE):
        once(clip)
    with shares.of(AGAIN):
        peak_frame.read_frames(clip, {frame.index for frame in kept}, threads=1)
    with shares.of(PLAIN):
        plainly(clip)
    with shares.of(PLAIN_ALL):
        plainly(clip, with_sound=True)
    return facts


def once(
    clip: Path, of: Callable[[str], AbstractContextManager[None]] = lambda part: nullcontext()
) -> tuple[probe.Probe, list[VideoFrame]]:
    """What a run reads of a clip whose Action Units are given, and the frames that its picture was made from."""
    looker = Middle()
    with of(DECODING):
        facts = probe.decode(clip, **LIMITS, threads=1, with_text=False, onlooker=looker).probe
    with of("picture: RGB"):
        peak_frame.read_peak_frame(clip, facts, middle(facts.frame_count), kept=looker.kept, threads=1)
    return facts, looker.kept


def plainly(clip: Path, *, with_sound: bool = False) -> None:
    """Decodes a clip with one thread, and drops the pictures; with_sound: and what the first sound track holds."""
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        video.thread_type, video.thread_count = "AUTO", 1
        for _ in container.decode(video, *(container.streams.audio[:1] if with_sound else ())):
            pass


def parts(clips: list[Path], repeats: int) -> tuple[dict[str, float], float]:
    """Processor seconds of all clips by part, the least of `repeats` for each clip and part; and seconds of video."""
    found: dict[str, float] = {}
    length = 0.0
    for clip in clips:
        rounds = []
        with set_for_a_run():
            for _ in range(repeats):
                shares = Shares()
                facts = read(clip, shares)
                rounds.append(shares.seconds)
        length += facts.seconds
        for part in rounds[0]:
            found[part] = found.get(part, 0.0) + min(one[part] for one in rounds)
    return found, length


def rows(found: dict[str, float]) -> list[tuple[str, float]]:
    """The parts in their order, and the sums: as a run with given Action Units does it, and with decoding again."""
    own = [part for part in found if part not in (PLAIN, PLAIN_ALL, AGAIN, WHOLE)]
    whole = sum(found[part] for part in own)
    parts_of_all = [(PLAIN, found[PLAIN]), (PLAIN_ALL, found[PLAIN_ALL]), *((part, found[part]) for part in own)]
    once = [("all, decoded once", whole), (WHOLE, found[WHOLE])]
    return [*parts_of_all, *once, (AGAIN, found[AGAIN]), ("all, decoded again", whole + found[AGAIN])]

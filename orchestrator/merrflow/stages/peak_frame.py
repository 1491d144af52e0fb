"""The peak frame, or the one near it that is shown instead, as a picture, with frames around it that show movement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from merrflow.core.atomic_files import whole_bytes
from merrflow.core.errors import writing_outputs
from merrflow.core.measurements import Peak, Probe, ShownFrame
from merrflow.facs.rules import PictureRules
from merrflow.stages.sharpness import SIDE, sharpness
from merrflow.stages.shown import Candidate, Choice, choose, near, shot_of
from merrflow.stages.stage import Stage, Work
from merrflow_serving.errors import UnreadableMedia
from merrflow_serving.media.bounds import MOST_PIXELS
from merrflow_serving.media.images import encode_jpeg
from merrflow_serving.media.png import encode_png
from merrflow_serving.media.video import VideoFrame, read_frames

CONTEXT_STEPS = (-2, -1, 1, 2)  # around the frame; near enough to be one movement
CONTEXT_SIZE = 480  # pixels on the longer side


@dataclass(frozen=True)
class PeakFrame:
    """The frame at full size, and small neighbours (JPEG) with their seconds after it."""

    image: bytes  # PNG: a model sees the pixels that were decoded
    picture: bytes  # JPEG, for people
    context: tuple[tuple[float, bytes], ...]
    shown: ShownFrame | None = None  # None: it is the peak frame


def read_peak_frame(
    path: Path,
    probe: Probe,
    peak: Peak,
    choice: Choice | None = None,
    rules: PictureRules | None = None,
    *,
    kept: Iterable[VideoFrame] = (),
    max_pixels: int = MOST_PIXELS,
    threads: int = 0,
) -> PeakFrame:
    """The frame at full size; neighbours only from its own shot. Blocking.

    choice, rules: frames that may be shown instead, and by what rules; without them it is the peak frame. kept: frames
    of an earlier decoding; unless all that are wanted are among them, the clip is decoded once more. threads: of the
    decoder, 0: one per core.

    Raises `UnreadableMedia` if the peak frame cannot be decoded any more, `TooLarge` above `max_pixels`.
    """
    candidates = choice.candidates if choice and rules else ()
    around = _all_around(probe, peak, candidates)
    wanted = _numbers(around)
    frames = {frame.index: frame for frame in kept if frame.index in wanted}
    if frames.keys() != wanted:
        frames = read_frames(path, wanted, max_pixels=max_pixels, threads=threads)
    if peak.index not in frames:
        raise UnreadableMedia(f"frame {peak.index} cannot be decoded")
    shown = None
    if choice and rules and all(one.index in frames for one in candidates):
        shown = choose(choice, {one.index: _sharpness(frames[one.index], one) for one in candidates}, peak, rules)
    index = shown.index if shown else peak.index
    image = frames[index].image
    return PeakFrame(encode_png(image), encode_jpeg(image), _context(frames, index, around[index]), shown)


def read_picture(path: Path, index: int) -> bytes:
    """A frame as a JPEG file at full size. Blocking. Raises `UnreadableMedia` if it cannot be decoded."""
    frames = read_frames(path, {index})
    if index not in frames:
        raise UnreadableMedia(f"frame {index} cannot be decoded")
    return encode_jpeg(frames[index].image)


def frames_of(probe: Probe, peak: Peak, choice: Choice) -> frozenset[int]:
    """The numbers of all frames that `read_peak_frame` wants."""
    return _numbers(_all_around(probe, peak, choice.candidates))


def _all_around(probe: Probe, peak: Peak, candidates: Iterable[Candidate]) -> dict[int, list[int]]:
    """The frames around the peak frame, and around each that may be shown instead."""
    return {peak.index: _around(probe, peak, 0)} | {one.index: _around(probe, peak, one.steps) for one in candidates}


def _numbers(around: Mapping[int, Iterable[int]]) -> frozenset[int]:
    return frozenset({*around, *chain.from_iterable(around.values())})


def _around(probe: Probe, peak: Peak, steps: int) -> list[int]:
    """The frames around one, in its shot. All are whole steps from the peak, so that candidates share neighbours."""
    shot = shot_of(probe, peak.index)
    found = {near(peak.index, steps + more, probe.fps) for more in CONTEXT_STEPS}
    return sorted(index for index in found - {near(peak.index, steps, probe.fps)} if shot.start <= index < shot.end)


def _context(frames: Mapping[int, VideoFrame], index: int, around: list[int]) -> tuple[tuple[float, bytes], ...]:
    at = frames[index].timestamp
    return tuple(
        (round(frames[other].timestamp - at, 3), encode_jpeg(frames[other].scaled(CONTEXT_SIZE)))
        for other in around
        if other in frames
    )


def _sharpness(frame: VideoFrame, candidate: Candidate) -> float:
    """Of the face, from a picture that is shrunk until the face is about twice as large as it is judged."""
    import cv2

    factor = min(1.0, 2 * SIDE / max(candidate.box[2], candidate.box[3], 1.0))
    small = frame.scaled(max(1, round(factor * max(frame.size))))
    x, y, width, height = (small.shape[1] / frame.size[0] * side for side in candidate.box)
    return sharpness(np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8), (x, y, width, height)) or 0.0


async def _peak_frame(work: Work, probe: Probe, peak: Peak, choice: Choice) -> PeakFrame:
    """Reads the frame and writes it beside the records."""
    run, clip = work.run, work.clip
    kept = run.frames.take(clip.name) or ()
    read = partial(read_peak_frame, kept=kept, max_pixels=run.settings.max_pixels, threads=run.decoder_threads)
    del kept  # `read` has them, and is gone when the picture is made

    def read_and_write() -> PeakFrame:
        frame = read(clip.path, probe, peak, choice, run.rules.peak.picture)
        with writing_outputs(run.out):
            whole_bytes(run.out / "peaks" / f"{clip.name}.jpg", frame.picture)
        return frame

    return await run.in_thread(read_and_write)


STAGE: Stage[PeakFrame] = Stage(
    name="peak_frame",
    purpose="the picture: the peak frame or one near it, with frames around it",
    compute=_peak_frame,
    needs=("probe", "peak", "candidates"),
    lazy=True,
)

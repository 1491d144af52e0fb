"""Probe: one pass over the file gives its facts, its shots, its sound, and the samples that OCR will read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from scenedetect import FrameTimecode
from scenedetect.detectors import ContentDetector

from merrflow.stages.burned_in import Sampler, TextSample
from merrflow.types import Probe, Shot
from merrflow_serving.errors import TooLarge, UnreadableMedia
from merrflow_serving.media.audio import SAMPLE_RATE, AudioCollector
from merrflow_serving.media.video import VideoFrame, iter_frames, open_media

VERSION = "1"
SHOT_WIDTH = 160  # pixels; cuts show at any size, and small frames are quick
SHORTEST_SHOT = 5  # frames; shorter flashes are not shots
MISSING_FRAMES = 0.1  # a file may lack this share of the frames its header promises


@dataclass(frozen=True)
class Decoded:
    """A probe and what it carries on for other stages; too large for the ledger, so never stored."""

    probe: Probe
    text_samples: tuple[TextSample, ...]
    audio: np.ndarray | None  # (samples,) float32 at 16 kHz; None without a sound track


def decode(path: Path, *, max_seconds: float, max_pixels: int, with_text: bool = True) -> Decoded:
    """Decodes a clip once. Blocking: tens of milliseconds a second of video.

    with_text: whether to collect samples for OCR; not needed where the subtitle is known.

    Raises `UnreadableMedia` (not a video, or cut off), `MissingStream` or `TooLarge`.
    """
    promised, has_audio = _header(path, max_seconds)
    collector = AudioCollector()
    sampler = Sampler()
    cuts = _Cuts()
    frame: VideoFrame | None = None
    for frame in iter_frames(path, max_pixels=max_pixels, on_audio=collector.add if has_audio else None):
        if frame.timestamp > max_seconds:
            raise TooLarge(f"the clip is longer than {max_seconds:g} seconds")
        cuts.add(frame)
        if with_text:
            sampler.add(frame)
    if frame is None:
        raise UnreadableMedia("the video track holds no frame that can be decoded")
    count = frame.index + 1
    if count < promised * (1 - MISSING_FRAMES):
        raise UnreadableMedia(f"the file is cut off: only {count} of its {promised} frames can be decoded")
    fps = frame.index / frame.timestamp if frame.timestamp > 0 else 25.0
    audio = collector.finish() if has_audio else None
    height, width = frame.scaled(max(frame.raw.width, frame.raw.height)).shape[:2]
    probe = Probe(
        width=width,
        height=height,
        fps=round(fps, 3),
        frame_count=count,
        seconds=round(frame.timestamp + 1 / fps, 3),
        shots=tuple(cuts.shots(count)),
        audio_seconds=None if audio is None else round(audio.size / SAMPLE_RATE, 3),
    )
    return Decoded(probe, tuple(sampler.samples), audio)


def _header(path: Path, max_seconds: float) -> tuple[int, bool]:
    """How many frames the file promises (0 where it does not say), and whether it has a sound track."""
    with open_media(path) as container:
        if container.duration and container.duration / 1_000_000 > max_seconds * 1.05:
            raise TooLarge(f"the clip is longer than {max_seconds:g} seconds")
        video = container.streams.video
        return (video[0].frames if video else 0), bool(container.streams.audio)


class _Cuts:
    """Shot cuts by PySceneDetect's content detector (mean HSV change between frames, threshold 27)."""

    def __init__(self) -> None:
        self._detector = ContentDetector(min_scene_len=SHORTEST_SHOT)
        self._cuts: list[int] = []

    def add(self, frame: VideoFrame) -> None:
        small = np.ascontiguousarray(frame.scaled(SHOT_WIDTH)[..., ::-1])
        time = FrameTimecode(frame.index, fps=25.0)  # only counts frames here
        self._cuts += [cut.frame_num for cut in self._detector.process_frame(time, small)]

    def shots(self, count: int) -> Iterator[Shot]:
        edges = [0, *(cut for cut in sorted(set(self._cuts)) if 0 < cut < count), count]
        for start, end in pairwise(edges):
            yield Shot(start, end)

"""Probe: one pass over the file gives its facts, its shots, its sound, and the samples that OCR will read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import av
import av.container
import av.stream
import av.video.stream
import cv2
import numpy as np
from scenedetect import FrameTimecode
from scenedetect.detectors import ContentDetector

from merrflow.core.records import Probe, Shot
from merrflow.stages import arrays, perceptual_hash, voice
from merrflow.stages.stage import Stage, Work
from merrflow.stages.text_samples import Sampler, TextSample
from merrflow_serving.errors import TooLarge, UnreadableMedia
from merrflow_serving.media.audio import SAMPLE_RATE, Sound, read_sound
from merrflow_serving.media.video import VideoFrame, iter_frames, open_media

VERSION = f"4.{voice.VERSION}.{perceptual_hash.VERSION}"
MAX_FPS = 1000  # more frames a second are a fault of the file's clock
SHOT_WIDTH = 160  # pixels; cuts show at any size, and small frames are quick
SHORTEST_SHOT = 5  # frames; shorter flashes are not shots
# The larger of these may be missing at the end of a whole file: headers round, and sound and picture end apart.
MISSING_SHARE = 0.1
MISSING_SECONDS = 0.5


@dataclass(frozen=True)
class Decoded:
    """A probe and what it carries on for other stages; too large for the ledger, so never stored."""

    probe: Probe
    text_samples: tuple[TextSample, ...]
    audio: arrays.Sound | None  # from the first frame's time; None without a sound track
    times: tuple[float, ...] = ()  # of the frames, in seconds from the first


def decode(path: Path, *, max_seconds: float, max_pixels: int, with_text: bool = True, language: str = "") -> Decoded:
    """Decodes a clip once. Blocking: tens of milliseconds a second of video.

    with_text: whether to collect samples for OCR; not needed if the subtitle is known. language: of the sound track,
    if there are several.

    Raises `UnreadableMedia` (not a video, or cut off), `MissingStream` or `TooLarge`.
    """
    header = _header(path, max_seconds, max_pixels)
    sampler = Sampler()
    cuts = _Cuts()
    hashes = perceptual_hash.HashSampler()
    times: list[float] = []
    frame: VideoFrame | None = None
    width = height = 0  # of the first frame, as openface-au has it; later ones may have another size

    origin: float | None = None  # the first frame's time on the file's clock
    most = max(1, round(max_seconds * MAX_FPS))  # whatever times the frames claim to have
    try:
        for frame in iter_frames(path, max_pixels=max_pixels, max_frames=most):
            if frame.timestamp > max_seconds:
                raise TooLarge(f"the clip is longer than {max_seconds:g} seconds")
            if frame.index == 0:
                width, height = frame.size
            if origin is None and frame.raw.time is not None:
                origin = frame.raw.time - frame.timestamp
            times.append(round(frame.timestamp, 6))
            cuts.add(frame)
            hashes.add(frame)
            if with_text:
                sampler.add(frame)
    except UnreadableMedia:
        if frame is not None:
            header.check(frame, _seconds(_sound(path, header, max_seconds, language, origin)))
        raise
    if frame is None:
        raise UnreadableMedia("the video track holds no frame that can be decoded")
    sound = _sound(path, header, max_seconds, language, origin)
    header.check(frame, _seconds(sound))
    count = frame.index + 1
    fps = _rate(frame)
    seconds = round(frame.timestamp + 1 / fps, 3)  # the last frame lasts as long as the others do on average
    if seconds > max_seconds:
        raise TooLarge(f"the clip is longer than {max_seconds:g} seconds")
    audio = sound.samples if sound else None
    probe = Probe(
        width=width,
        height=height,
        fps=round(fps, 3),
        frame_count=count,
        seconds=seconds,
        shots=tuple(cuts.shots(count)),
        audio_seconds=None if sound is None else round(_seconds(sound), 3),
        voice_energy=() if audio is None else voice.voice_energy(audio),
        likeness=hashes.finish(audio),
        sound=sound.note if sound else "",
    )
    return Decoded(probe, tuple(sampler.samples), audio, tuple(times))


def _sound(path: Path, header: _Header, max_seconds: float, language: str, origin: float | None) -> Sound | None:
    """None without a sound track; empty, with the reason in its note, if none can be decoded."""
    if not header.has_audio:
        return None
    try:  # the picture may be long over
        return read_sound(path, max_seconds=max_seconds, margin=1.05, language=language, origin=origin)
    except UnreadableMedia as error:
        return Sound(np.zeros(0, np.float32), f"the sound cannot be decoded: {error}")


def _seconds(sound: Sound | None) -> float:
    return sound.samples.size / SAMPLE_RATE if sound else 0.0


@dataclass(frozen=True)
class _Header:
    """What a file says of itself before anything is decoded."""

    promised: float | None  # seconds; None if it does not say
    start: float  # seconds on the clock of the file: the beginning of what is promised
    with_sound: bool  # the promise is kept by whichever track lasts longest
    has_audio: bool

    def check(self, last: VideoFrame, audio_seconds: float) -> None:
        """Raises `UnreadableMedia` if decoding ended at `last`, well before the promised end.

        Frames are no measure: a cut without encoding keeps the frames before the cut in the file, hidden by an
        edit list, and some containers count nothing.
        """
        if self.promised is None:
            return
        lasting = max(1 / _rate(last), float((last.raw.duration or 0) * (last.raw.time_base or 0)))
        reached = last.timestamp + lasting
        if last.raw.time is not None:  # as undecodable frames at the start do not make the end missing
            reached = max(reached, last.raw.time + lasting - self.start)
        if self.with_sound:
            reached = max(reached, audio_seconds)
        if self.promised - reached > max(MISSING_SHARE * self.promised, MISSING_SECONDS):
            raise UnreadableMedia(
                f"the file is cut off: only {reached:.1f} of its {self.promised:.1f} seconds can be decoded"
            )


def _header(path: Path, max_seconds: float, max_pixels: int) -> _Header:
    """Reads the promise of a file. Raises `UnreadableMedia`, or `TooLarge` if it promises too much."""
    with open_media(path, max_pixels=max_pixels) as container:
        if container.duration and container.duration / av.time_base > max_seconds * 1.05:
            raise TooLarge(f"the clip is longer than {max_seconds:g} seconds")
        video = container.streams.video
        promised, start, with_sound = _promised_length(container, video[0]) if video else (None, 0.0, False)
        return _Header(promised, start, with_sound, bool(container.streams.audio))


def _promised_length(
    container: av.container.InputContainer, video: av.video.stream.VideoStream
) -> tuple[float | None, float, bool]:
    """`_Header.promised`, `start` and `with_sound`, from the best source that the container has."""
    if av.stream.Disposition.attached_pic in video.disposition:  # a cover picture lasts as long as its music
        return None, 0.0, False
    if container.format.name == "avi" and video.frames:  # its duration is made up from the size of the file
        return float(video.frames * _time_base(video)), 0.0, False
    if video.duration is not None:
        base = _time_base(video)
        return float(video.duration * base), float((video.start_time or 0) * base), False
    if container.duration is None:
        return None, 0.0, False
    whole = container.duration / av.time_base
    track = _clock_seconds(video.metadata.get("DURATION", ""))  # Matroska; both count from the clock's zero
    return (min(track, whole), 0.0, False) if track else (whole, 0.0, True)


def _time_base(video: av.video.stream.VideoStream) -> Fraction:
    """Seconds in one tick of the clock of an opened file's stream."""
    assert video.time_base is not None
    return video.time_base


def _clock_seconds(text: str) -> float | None:
    """Seconds in "00:01:02.345000000"; None if it is no such text."""
    match = re.fullmatch(r"(\d{1,6}):(\d\d):(\d\d(?:\.\d{1,20})?)", text.strip())
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None


def _rate(last: VideoFrame) -> float:
    """Mean frames a second up to the last frame."""
    return last.index / last.timestamp if last.timestamp > 0 else 25.0


class _Cuts:
    """Shot cuts by PySceneDetect's content detector (mean HSV change between frames, threshold 27)."""

    def __init__(self) -> None:
        self._detector = ContentDetector(min_scene_len=SHORTEST_SHOT)
        self._cuts: list[int] = []
        self._size: tuple[int, int] | None = None  # width and height of what is compared, the first frame's

    def add(self, frame: VideoFrame) -> None:
        small = np.ascontiguousarray(frame.scaled(SHOT_WIDTH)[..., ::-1])
        if self._size is None:
            self._size = small.shape[1], small.shape[0]
        elif self._size != (small.shape[1], small.shape[0]):  # recordings of television change their size on the way
            small = cv2.resize(small, self._size, interpolation=cv2.INTER_AREA)
        time = FrameTimecode(frame.index, fps=25.0)  # only counts frames here
        self._cuts += [cut.frame_num for cut in self._detector.process_frame(time, small)]

    def shots(self, count: int) -> Iterator[Shot]:
        edges = [0, *(cut for cut in sorted(set(self._cuts)) if 0 < cut < count), count]
        for start, end in pairwise(edges):
            yield Shot(start, end)


async def _decode(work: Work) -> Decoded:
    settings = work.run.settings
    decode_clip = partial(
        decode,
        work.clip.path,
        max_seconds=settings.max_clip_seconds,
        max_pixels=settings.max_pixels,
        with_text=not work.clip.sentence,
        language=settings.audio_language,
    )
    return await work.run.in_thread(decode_clip)


async def _probe(work: Work) -> Probe:
    decoded: Decoded = await work.use("decoded")
    return decoded.probe


DECODED: Stage[Decoded] = Stage(
    name="decoded",
    purpose="the clip, decoded once: shots, sound, pictures for OCR",
    compute=_decode,
    lazy=True,
)
STAGE = Stage(
    name="probe",
    purpose="size, length, shots, voice energy, perceptual hashes",
    compute=_probe,
    uses=("decoded",),
    result=Probe,
    version=VERSION,
    key=lambda work: [
        work.run.settings.max_clip_seconds,
        work.run.settings.max_pixels,
        work.run.settings.audio_language,
    ],
    settings=("max_clip_seconds", "max_pixels", "audio_language"),
)

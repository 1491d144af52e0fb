"""Probe: one pass over the file gives its facts, its shots, its sound, and the samples that OCR will read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import av.stream
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from merrflow.core.measurements import Probe
from merrflow.stages import arrays, perceptual_hash, voice
from merrflow.stages.cuts import Cuts
from merrflow.stages.stage import Stage, Work
from merrflow.stages.text_samples import Sampler, TextSample
from merrflow_serving.errors import TooLarge, UnreadableMedia
from merrflow_serving.media.audio import SAMPLE_RATE, Sound, read_sound
from merrflow_serving.media.container import clock_may_jump
from merrflow_serving.media.tracks import matroska_seconds
from merrflow_serving.media.video import VideoFrame, iter_frames

VERSION = f"8.{voice.VERSION}.{perceptual_hash.VERSION}"
MAX_FPS = 1000  # more frames a second are a fault of the file's clock
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


def decode(
    path: Path,
    *,
    max_seconds: float,
    max_pixels: int,
    with_text: bool = True,
    language: str = "",
    threads: int = 0,
) -> Decoded:
    """Decodes a clip once. Blocking: tens of milliseconds a second of video.

    with_text: whether to collect samples for OCR; not needed if the subtitle is known. language: of the sound track,
    if there are several. threads: of the decoder, 0: one per core.

    Raises `UnreadableMedia` (not a video, or cut off), `MissingStream` or `TooLarge`.
    """
    headers: list[_Header] = []  # one; two if decoding began again at damage
    sampler = Sampler()
    cuts = Cuts()
    hashes = perceptual_hash.HashSampler()
    times: list[float] = []
    frame: VideoFrame | None = None
    width = height = 0  # of the first frame, as openface-au has it; later ones may have another size
    odd = _Oddities()

    def see_header(container: InputContainer, track: VideoStream) -> None:
        headers.append(_header(container, track, max_seconds))

    origin: float | None = None  # the first frame's time on the file's clock
    most = max(1, round(max_seconds * MAX_FPS))  # whatever times the frames claim to have
    try:
        limits = {"max_pixels": max_pixels, "max_frames": most}
        for frame in iter_frames(path, **limits, on_damage=odd.add_packet, on_open=see_header, threads=threads):
            if frame.timestamp > max_seconds:
                raise TooLarge(f"the clip is longer than {max_seconds:g} seconds")
            if frame.index == 0:
                width, height = frame.size
            origin = frame.start if origin is None else origin
            times.append(round(frame.timestamp, 6))
            cuts.add(frame)
            hashes.add(frame)
            odd.add_frame(frame)
            if with_text:
                sampler.add(frame)
    except UnreadableMedia:
        if frame is not None:
            headers[0].check(frame, _seconds(_sound(path, headers[0], max_seconds, language, origin)))
        raise
    if frame is None:
        raise UnreadableMedia("the video track holds no frame that can be decoded")
    header = headers[0]
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
        damaged_packets=odd.packets,
        damaged_frames=odd.frames,
        adjusted=odd.adjusted or header.several_tracks,
        sound=sound.note if sound else "",
    )
    return Decoded(probe, tuple(sampler.samples), audio, tuple(times))


class _Oddities:
    """What is out of the ordinary in a file."""

    def __init__(self) -> None:
        self.packets = self.frames = 0
        self._adjusted = False

    def add_packet(self) -> None:
        self.packets += 1

    def add_frame(self, frame: VideoFrame) -> None:
        self.frames += frame.is_damaged
        self._adjusted = self._adjusted or not (frame.is_as_decoded and frame.is_on_time)

    @property
    def adjusted(self) -> bool:
        return self._adjusted or bool(self.packets or self.frames)


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
    several_tracks: bool  # of video

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


def _header(container: InputContainer, video: VideoStream, max_seconds: float) -> _Header:
    """Reads the promise of an opened file, whose film is `video`. Raises `TooLarge` if it promises too much."""
    tracks = bool(container.streams.audio), len(container.streams.video) > 1
    if clock_may_jump(container):  # so that its last time says nothing of its length
        return _Header(None, 0.0, False, *tracks)
    if container.duration and container.duration / av.time_base > max_seconds * 1.05:
        raise TooLarge(f"the clip is longer than {max_seconds:g} seconds")
    return _Header(*_promised_length(container, video), *tracks)


def _promised_length(container: InputContainer, video: VideoStream) -> tuple[float | None, float, bool]:
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
    track = matroska_seconds(video)  # both count from the clock's zero
    return (min(track, whole), 0.0, False) if track else (whole, 0.0, True)


def _time_base(video: VideoStream) -> Fraction:
    """Seconds in one tick of the clock of an opened file's stream."""
    assert video.time_base is not None
    return video.time_base


def _rate(last: VideoFrame) -> float:
    """Mean frames a second up to the last frame."""
    return last.index / last.timestamp if last.timestamp > 0 else 25.0


async def _decode(work: Work) -> Decoded:
    """Samples for OCR are held apart: they are large, and may wait for services or never be needed."""
    run, clip = work.run, work.clip
    run.samples.begin(clip.name)
    decode_clip = partial(
        decode,
        clip.path,
        max_seconds=run.settings.max_clip_seconds,
        max_pixels=run.settings.max_pixels,
        with_text=not clip.sentence,
        language=run.settings.audio_language,
        threads=run.decoder_threads,
    )
    decoded = await run.in_thread(decode_clip)
    for sample in decoded.text_samples:
        run.samples.add(clip.name, sample, sample.image.nbytes)
    return replace(decoded, text_samples=())


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
    reads_clip=False,  # only what the stage that it uses has read
    result=Probe,
    version=VERSION,
    key=lambda work: [
        work.run.settings.max_clip_seconds,
        work.run.settings.max_pixels,
        work.run.settings.audio_language,
    ],
    settings=("max_clip_seconds", "max_pixels", "audio_language"),
)

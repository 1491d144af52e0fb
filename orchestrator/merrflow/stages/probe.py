"""Probe: one pass over the file gives its facts, its shots, its sound, and the samples that OCR will read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from merrflow.core.measurements import Probe
from merrflow.formats.precomputed import GivenUnits
from merrflow.stages import arrays, perceptual_hash, voice
from merrflow.stages.cuts import Cuts
from merrflow.stages.file_header import Header, mean_rate, read_header
from merrflow.stages.stage import Stage, Work
from merrflow.stages.text_samples import Sampler, TextSample
from merrflow_serving.errors import TooLarge, UnreadableMedia
from merrflow_serving.media.audio import SAMPLE_RATE, Sound, read_sound
from merrflow_serving.media.video import VideoFrame, iter_frames

VERSION = f"8.{voice.VERSION}.{perceptual_hash.VERSION}"
MAX_FPS = 1000  # more frames a second are a fault of the file's clock


@dataclass(frozen=True)
class Given:
    """A clip's Action Units from a file, which were read while the clip was decoded."""

    key: Any  # of the file before it was read
    units: GivenUnits


@dataclass(frozen=True)
class Decoded:
    """A probe and what it carries on for other stages; too large for the ledger, so never stored."""

    probe: Probe
    text_samples: tuple[TextSample, ...]
    audio: arrays.Sound | None  # from the first frame's time; None without a sound track
    times: tuple[float, ...] = ()  # of the frames, in seconds from the first
    given: Given | None = None  # Action Units that were read on the way


class Onlooker(Protocol):
    """What looks at a clip while it is decoded, on the same thread. It must not raise."""

    def begin(self, promised: Probe, rate: Fraction) -> None:
        """promised: what the header says of the pictures, which nothing may rely on. rate: frames a second."""

    def see(self, frame: VideoFrame) -> None:
        """Every frame, in their order."""


def decode(
    path: Path,
    *,
    max_seconds: float,
    max_pixels: int,
    with_text: bool = True,
    language: str = "",
    threads: int = 0,
    onlooker: Onlooker | None = None,
) -> Decoded:
    """Decodes a clip once. Blocking: tens of milliseconds a second of video.

    with_text: whether to collect samples for OCR; not needed if the subtitle is known. language: of the sound track,
    if there are several. threads: of the decoder, 0: one per core.

    Raises `UnreadableMedia` (not a video, or cut off), `MissingStream` or `TooLarge`.
    """
    headers: list[Header] = []  # one; two if decoding began again at damage
    sampler = Sampler()
    cuts = Cuts()
    hashes = perceptual_hash.HashSampler()
    times: list[float] = []
    frame: VideoFrame | None = None
    width = height = 0  # of the first frame, as openface-au has it; later ones may have another size
    odd = _Oddities()

    def see_header(container: InputContainer, track: VideoStream) -> None:
        headers.append(read_header(container, track, max_seconds))
        promised = headers[0].pictures(track) if onlooker and len(headers) == 1 else None
        if onlooker and promised and promised[0].frame_count <= most:
            onlooker.begin(*promised)

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
            if onlooker:
                onlooker.see(frame)
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
    fps = mean_rate(frame)
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


def _sound(path: Path, header: Header, max_seconds: float, language: str, origin: float | None) -> Sound | None:
    """None without a sound track; empty, with the reason in its note, if none can be decoded."""
    if not header.has_audio:
        return None
    try:  # the picture may be long over
        return read_sound(path, max_seconds=max_seconds, margin=1.05, language=language, origin=origin)
    except UnreadableMedia as error:
        return Sound(np.zeros(0, np.float32), f"the sound cannot be decoded: {error}")


def _seconds(sound: Sound | None) -> float:
    return sound.samples.size / SAMPLE_RATE if sound else 0.0


async def decode_clip(work: Work, onlooker: Onlooker | None = None) -> Decoded:
    """The clip, as `decode` reads it.

    Samples for OCR are held apart: they are large, and may wait for services or never be needed."""
    run, clip = work.run, work.clip
    run.samples.begin(clip.name)
    read = partial(
        decode,
        clip.path,
        max_seconds=run.settings.max_clip_seconds,
        max_pixels=run.settings.max_pixels,
        with_text=not clip.sentence,
        language=run.settings.audio_language,
        threads=run.decoder_threads,
        onlooker=onlooker,
    )
    decoded = await run.in_thread(read)
    for sample in decoded.text_samples:
        run.samples.add(clip.name, sample, sample.image.nbytes)
    return replace(decoded, text_samples=())


async def _probe(work: Work) -> Probe:
    decoded: Decoded = await work.use("decoded")
    return decoded.probe


DECODED: Stage[Decoded] = Stage(
    name="decoded",
    purpose="the clip, decoded once: shots, sound, pictures for OCR",
    compute=decode_clip,
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

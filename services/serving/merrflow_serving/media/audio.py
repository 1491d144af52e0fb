"""Decoding of sound to the input of speech models: 16 kHz, mono, float32 in [-1, 1], on the time of the picture."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass

import av
import av.container
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.stream import Discard, Disposition

from merrflow_serving.errors import MerrflowError, MissingStream, TooLarge, UnreadableMedia
from merrflow_serving.media.bounds import sound_limit
from merrflow_serving.media.collector import LONGEST_SILENCE, SAMPLE_RATE, AudioCollector, Recording
from merrflow_serving.media.container import Source, check_codec, clock_may_jump, open_media, packets
from merrflow_serving.media.mixdown import Mix, usual
from merrflow_serving.media.sound_tracks import ranked
from merrflow_serving.media.video import iter_frames

__all__ = ["SAMPLE_RATE", "AudioCollector", "Sound", "decode_audio", "encode_wav", "read_sound"]
_FRAMES_WITHOUT_TIME = 250  # of a picture, after which its clock is taken for unknown
_TRACKS_TRIED = 8


@dataclass(frozen=True)
class Sound:
    """What is heard."""

    samples: np.ndarray  # (samples,) float32 at 16 kHz in [-1, 1]; the first is heard with the first picture
    note: str = ""  # what was unusual about it, for people


def read_sound(
    source: Source, *, max_seconds: float = 0.0, margin: float = 1.0, language: str = "", origin: float | None = None
) -> Sound:
    """The sound track to be heard (see `ranked`), or the next that can be decoded.

    origin: the first picture's time on the container's clock, in seconds; None: the sound begins at its own beginning.
    Sound before it is cut, and silence fills the time to a later beginning; sound may outlast the picture.

    Raises `UnreadableMedia`, `MissingStream` (no sound track) or `TooLarge` (0 means no limit, else times margin).
    """
    notes: list[str] = []
    refusal: UnreadableMedia | None = None
    empty = False
    with open_media(source, sound_only=True) as container:
        if not container.streams.audio:
            raise MissingStream("the file has no sound track")
        tracks = {track.index: _title(track) for track in ranked(container.streams.audio, language)[:_TRACKS_TRIED]}
        number = {track.index: place for place, track in enumerate(container.streams.audio, 1)}
        for index in tracks:
            try:  # opening a file takes as long as decoding seconds of sound
                found = _record(source, index, max_seconds, margin, None if refusal or empty else container)
            except UnreadableMedia as error:
                refusal = refusal or error
                notes.append(f"sound track {number[index]} cannot be decoded: {error}")
                continue
            if found.samples.size:
                break
            empty = True
            if len(number) > 1:
                notes.append(f"sound track {number[index]} is empty")
        else:
            if refusal and not empty:
                raise refusal
            return Sound(np.zeros(0, np.float32), "; ".join(notes))
    if len(number) > 1:
        notes.append(f"sound track {number[index]} of {len(number)}{tracks[index]}")
    notes += [mix.note for mix in found.mixes.values() if mix.note]
    if found.damaged:
        notes.append(f"damaged packets of sound left out: {found.damaged}")
    if found.filled:
        notes.append(f"gaps of {found.filled:.2f} s are silent")
    most = max_seconds * margin or LONGEST_SILENCE
    samples, moved = _on_time(found, origin, most)
    if max_seconds and samples.size > most * SAMPLE_RATE:
        raise TooLarge(f"the sound is longer than {max_seconds:g} seconds")
    return Sound(samples, "; ".join([*notes, *([moved] if moved else [])]))


def decode_audio(source: Source, *, max_seconds: float = 0.0, language: str = "") -> np.ndarray:
    """The sound track to be heard as (samples,) float32 at 16 kHz, from the first picture's time if there are pictures.

    Raises `UnreadableMedia`, `MissingStream` (no sound track) or `TooLarge` (0 means no limit).
    """
    origin = _first_picture(source)
    return read_sound(source, max_seconds=max_seconds, language=language, origin=origin).samples


def encode_wav(samples: np.ndarray) -> bytes:
    """A 16-bit WAV file of (samples,) float32 at 16 kHz, rounded as ffmpeg does, so that 16-bit sound is kept."""
    levels = np.rint(samples.astype(np.float64) * 32768).clip(-32768, 32767)  # +1.0 is one level more than there is
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(levels.astype("<i2").tobytes())
    return buffer.getvalue()


def _record(
    source: Source, index: int, max_seconds: float, margin: float, opened: av.container.InputContainer | None
) -> Recording:
    """One track; decoded once more if the usual mix is not the right one. opened: the file, if nothing was read yet."""
    mixes: Mapping[tuple[str, ...], Mix] = {}
    for _ in range(2):
        with nullcontext(opened) if opened else open_media(source, sound_only=True) as container:
            track = container.streams[index]
            assert isinstance(track, AudioStream)
            check_codec(track)
            track.codec_context.options = sound_limit(track)
            joined = clock_may_jump(container)
            collector = AudioCollector(max_seconds, margin, joined=joined, mixes=mixes)
            damage: list[av.error.FFmpegError] = []
            for frame in _frames(container, track, damage):
                collector.add(frame)
            recording = collector.recording(len(damage))
        if not recording.samples.size and damage:
            raise UnreadableMedia(f"the sound cannot be decoded ({damage[0].strerror})") from damage[0]
        if all(mixes.get(names, usual(names)).weights == mix.weights for names, mix in recording.mixes.items()):
            break
        mixes, opened = recording.mixes, None
    return recording


def _frames(
    container: av.container.InputContainer, track: AudioStream, damage: list[av.error.FFmpegError]
) -> Iterator[av.AudioFrame]:
    """The frames of a track that can be decoded. damage: gets an error for each packet that cannot."""
    for stream in container.streams:
        if stream.index != track.index:
            stream.discard = Discard.all
    with suppress(av.error.InvalidDataError):  # what was read until reading failed for good is kept
        for packet in packets(container, track, damage.append):
            try:
                yield from packet.decode()
            except av.error.FFmpegError as error:
                damage.append(error)


def _on_time(found: Recording, origin: float | None, most: float) -> tuple[np.ndarray, str]:
    """The samples from the picture's first moment, and a note if they were moved far or could not be placed."""
    if origin is None or found.start is None:
        return found.samples, ""
    lead = found.start - origin
    ahead = round(lead * SAMPLE_RATE)
    if lead > most or -ahead >= found.samples.size:
        return found.samples, "the clocks of sound and picture have nothing in common: they begin together"
    side = "after" if lead > 0 else "before"
    note = f"the sound begins {abs(lead):.2f} s {side} the picture" if abs(lead) >= 0.1 else ""
    if ahead <= 0:
        return found.samples[-ahead:], note
    return np.concatenate([np.zeros(ahead, np.float32), found.samples]), note


def _first_picture(source: Source) -> float | None:
    """Seconds on the container's clock; None without pictures that have times. A cover of a recording is none."""
    with open_media(source) as container:
        if all(Disposition.attached_pic in track.disposition for track in container.streams.video):
            return None
    try:
        for frame in iter_frames(source, max_frames=_FRAMES_WITHOUT_TIME, threads=1):
            if frame.start is not None:
                return frame.start
    except MerrflowError:  # what is wrong with the pictures is no fault of the sound
        return None
    return None


def _title(track: AudioStream) -> str:
    """Such as " (eng, default)"; what a file says of itself is cut short."""
    parts = [track.metadata.get("language", "")[:8], "default" if Disposition.default in track.disposition else ""]
    found = ", ".join("".join(filter(str.isalnum, part)) for part in parts if part and part != "und")
    return f" ({found})" if found else ""

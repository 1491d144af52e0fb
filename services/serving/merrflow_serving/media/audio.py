"""Decoding of sound to the input of speech models: 16 kHz, mono, float32 in [-1, 1], on the time of the picture."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import av
import av.container
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.format import Flags
from av.stream import Discard, Disposition

from merrflow_serving.errors import MerrflowError, MissingStream, TooLarge, UnreadableMedia
from merrflow_serving.media.bounds import MOST_VALUES, check_rate, sound_limit
from merrflow_serving.media.mixdown import Levels, Mix, named, usual
from merrflow_serving.media.sound_clock import SoundClock
from merrflow_serving.media.sound_tracks import ranked
from merrflow_serving.media.video import Source, check_codec, iter_frames, open_media

SAMPLE_RATE = 16_000  # Hz
LONGEST_SILENCE = 600.0  # seconds between the beginnings of sound and picture, or in a gap, if there is no other limit
_OFFSET = 0.01  # -40 dBFS: more than this is a fault of a recorder; no codec or voice has it
_TOO_LOUD = 2.0  # +6 dBFS: no decoder overshoots as far; such floats are on another scale
_FRAMES_WITHOUT_TIME = 250  # of a picture, after which its clock is taken for unknown
_TRACKS_TRIED = 8


@dataclass(frozen=True)
class Sound:
    """What is heard."""

    samples: np.ndarray  # (samples,) float32 at 16 kHz in [-1, 1]; the first is heard with the first picture
    note: str = ""  # what was unusual about it, for people


@dataclass(frozen=True)
class _Recording:
    """A track on its own clock."""

    samples: np.ndarray
    start: float | None  # seconds on the container's clock; None if it has no times
    mixes: Mapping[tuple[str, ...], Mix]  # by the channels' names: how they were mixed, or should have been
    filled: float  # seconds of silence for what was missing


class AudioCollector:
    """Joins decoded sound frames to one array: 16 kHz, one channel, [-1, 1], no NaN; gaps in their times are silent.

    ffmpeg's own mix to mono adds the channels at 0.707 each, which makes speech 3 dB louder and clips it; so channels
    are mixed here, see `mixdown`.
    """

    def __init__(
        self,
        max_seconds: float = 0.0,
        margin: float = 1.0,
        *,
        joined: bool = False,
        mixes: Mapping[tuple[str, ...], Mix] | None = None,
    ) -> None:
        """max_seconds: more is refused, 0 for no limit; margin: by how much the limit may be exceeded (a factor).

        joined: the format may hold recordings with a clock each. mixes: by the channels' names; the usual for others.
        """
        self._max_seconds = max_seconds
        self._most = max_seconds * margin * SAMPLE_RATE
        self._clock = SoundClock(max_seconds or LONGEST_SILENCE, joined=joined)
        self._given = mixes or {}
        self._levels: dict[tuple[str, ...], Levels] = {}
        self._resampler: av.AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None
        self._names: tuple[str, ...] = ()
        self._parts: list[np.ndarray] = []
        self._late = 0  # samples to come that are there already
        self.size = 0  # samples so far

    def add(self, frame: av.AudioFrame) -> None:
        """Takes the next frame. A stream may change its layout or rate in the middle.

        Raises `UnreadableMedia` for a rate that no sound has, `TooLarge` above the limit; both before it resamples, by
        which a few bytes can become gigabytes.
        """
        check_rate(frame.sample_rate)
        coming = frame.samples * SAMPLE_RATE / frame.sample_rate
        self._check(self.size + coming - SAMPLE_RATE)  # a second less: the resampler holds some back
        if coming * frame.layout.nb_channels > MOST_VALUES:
            raise UnreadableMedia(f"a frame of sound has {frame.samples} samples of {frame.layout.nb_channels} channels")
        begin = self._clock.place(frame.time, frame.samples / frame.sample_rate)
        if begin is not None:
            self._go_to(round(begin * SAMPLE_RATE))
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or kind != self._kind:
            self._flush()
            # Packed, because PyAV reads beyond the planes of eight channels and more.
            self._resampler = av.AudioResampler(format="flt", layout=frame.layout, rate=SAMPLE_RATE)
            self._kind = kind
            self._names = named(channel.name for channel in frame.layout.channels)
        self._take(self._resampler.resample(frame))
        self._check(self.size)

    def finish(self) -> np.ndarray:
        """(samples,) float32."""
        self._flush()
        samples = np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)
        return _levelled(samples)

    def recording(self) -> _Recording:
        """What `finish` returns, and what is known of it."""
        samples = self.finish()
        mixes = {names: levels.mix() for names, levels in self._levels.items()}
        return _Recording(samples, self._clock.start, mixes, self._clock.filled)

    def _check(self, size: float) -> None:
        if self._max_seconds and size > self._most:
            raise TooLarge(f"the sound is longer than {self._max_seconds:g} seconds")

    def _go_to(self, place: int) -> None:
        """The next sample belongs to `place`: fills the gap, or cuts what overlaps."""
        self._flush()
        if place < self.size:
            self._late = self.size - place
        else:
            self._check(place)
            self._late = 0
            self._parts.append(np.zeros(place - self.size, np.float32))
            self.size = place

    def _flush(self) -> None:
        if self._resampler is not None:
            self._take(self._resampler.resample(None))
            self._resampler = None

    def _take(self, pieces: list[av.AudioFrame]) -> None:
        for piece in pieces:
            channels = np.nan_to_num(
                piece.to_ndarray().reshape(-1, len(self._names)).T, nan=0.0, posinf=1.0, neginf=-1.0
            )
            self._levels.setdefault(self._names, Levels(self._names, SAMPLE_RATE)).add(channels)
            weights = np.array(self._given.get(self._names, usual(self._names)).weights, np.float32)
            mixed = (weights[:, None] * channels).sum(axis=0, dtype=np.float32)[self._late :]
            self._late = max(0, self._late - channels.shape[1])
            self._parts.append(mixed)
            self.size += mixed.size


def read_sound(
    source: Source,
    *,
    max_seconds: float = 0.0,
    margin: float = 1.0,
    language: str = "",
    origin: float | None = None,
) -> Sound:
    """The sound track to be heard (see `ranked`), or the next that can be decoded.

    origin: the first picture's time on the container's clock, in seconds; None: the sound begins at its own beginning.
    Sound before it is cut, and silence fills the time to a later beginning; sound may outlast the picture.

    Raises `UnreadableMedia`, `MissingStream` (no sound track) or `TooLarge` (0 means no limit, else times margin).
    """
    with open_media(source) as container:
        if not container.streams.audio:
            raise MissingStream("the file has no sound track")
        tracks = [(track.index, _title(track)) for track in ranked(container.streams.audio, language)][:_TRACKS_TRIED]
        number = {track.index: place for place, track in enumerate(container.streams.audio, 1)}
    notes: list[str] = []
    refusal: UnreadableMedia | None = None
    empty = False
    for index, title in tracks:
        try:
            found = _record(source, index, max_seconds, margin)
        except UnreadableMedia as error:
            refusal = refusal or error
            notes.append(f"sound track {number[index]} cannot be decoded: {error}")
            continue
        if found.samples.size:
            break
        empty = True
        notes.append(f"sound track {number[index]} is empty")
    else:
        if refusal and not empty:
            raise refusal
        return Sound(np.zeros(0, np.float32), "; ".join(notes))
    if len(number) > 1:
        notes.append(f"sound track {number[index]} of {len(number)}{title}")
    notes += [mix.note for mix in found.mixes.values() if mix.note]
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
    """A 16-bit WAV file of (samples,) float32 at 16 kHz."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def _record(source: Source, index: int, max_seconds: float, margin: float) -> _Recording:
    """One track; decoded once more if the usual mix is not the right one."""
    mixes: Mapping[tuple[str, ...], Mix] = {}
    for _ in range(2):
        with open_media(source) as container:
            track = container.streams[index]
            assert isinstance(track, AudioStream)
            check_codec(track)
            track.codec_context.options = sound_limit(track)
            joined = bool(container.format.flags & Flags.ts_discont.value)
            collector = AudioCollector(max_seconds, margin, joined=joined, mixes=mixes)
            damage: av.error.FFmpegError | None = None
            for found in _frames(container, track):
                if isinstance(found, av.AudioFrame):
                    collector.add(found)
                else:
                    damage = found
            recording = collector.recording()
        if not recording.samples.size and damage:
            raise UnreadableMedia(f"the sound cannot be decoded ({damage.strerror})") from damage
        if all(mixes.get(names, usual(names)).weights == mix.weights for names, mix in recording.mixes.items()):
            break
        mixes = recording.mixes
    return recording


def _frames(
    container: av.container.InputContainer, track: AudioStream
) -> Iterator[av.AudioFrame | av.error.FFmpegError]:
    """The frames of a track; for a damaged packet the error."""
    for stream in container.streams:
        if stream.index != track.index:
            stream.discard = Discard.all
    for packet in container.demux(track):
        try:
            yield from packet.decode()
        except av.error.FFmpegError as error:
            yield error


def _on_time(found: _Recording, origin: float | None, most: float) -> tuple[np.ndarray, str]:
    """The samples from the picture's first moment, and a note if they were moved far or could not be placed."""
    if origin is None or found.start is None:
        return found.samples, ""
    lead = found.start - origin
    ahead = round(lead * SAMPLE_RATE)
    if lead > most or -ahead >= found.samples.size:
        return found.samples, "the clocks of sound and picture have nothing in common: they begin together"
    note = f"the sound begins {abs(lead):.2f} s {'after' if lead > 0 else 'before'} the picture" if _far(lead) else ""
    if ahead <= 0:
        return found.samples[-ahead:], note
    return np.concatenate([np.zeros(ahead, np.float32), found.samples]), note


def _far(seconds: float) -> bool:
    return abs(seconds) >= 0.1


def _first_picture(source: Source) -> float | None:
    """Seconds on the container's clock; None without pictures that have times. A cover of a recording is none."""
    with open_media(source) as container:
        if all(Disposition.attached_pic in track.disposition for track in container.streams.video):
            return None
    try:
        for frame in iter_frames(source, max_frames=_FRAMES_WITHOUT_TIME, threads=1):
            if frame.raw.time is not None:
                return frame.raw.time - frame.timestamp
    except MerrflowError:  # what is wrong with the pictures is no fault of the sound
        return None
    return None


def _levelled(samples: np.ndarray) -> np.ndarray:
    """Without a recorder's constant offset, and in [-1, 1]; silence that was filled in stays silent."""
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > _TOO_LOUD:
        samples = samples / max(1.0, float(np.quantile(np.abs(samples), 0.999)))
    samples = samples.clip(-1.0, 1.0)
    heard = samples != 0
    offset = float(samples[heard].mean(dtype=np.float64)) if heard.any() else 0.0
    if abs(offset) <= _OFFSET:
        return samples
    return np.where(heard, samples - np.float32(offset), samples).clip(-1.0, 1.0)


def _title(track: AudioStream) -> str:
    """Such as " (eng, default)"; what a file says of itself is cut short."""
    parts = [track.metadata.get("language", "")[:8], "default" if Disposition.default in track.disposition else ""]
    found = ", ".join("".join(filter(str.isalnum, part)) for part in parts if part and part != "und")
    return f" ({found})" if found else ""

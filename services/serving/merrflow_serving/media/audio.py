"""Decoding of sound to the input of speech models: 16 kHz, mono, float32 in [-1, 1]."""

from __future__ import annotations

import io
import wave

import av
import numpy as np

from merrflow_serving.errors import MissingStream, TooLarge
from merrflow_serving.media.bounds import check_rate, sound_limit
from merrflow_serving.media.video import Source, check_codec, open_media

SAMPLE_RATE = 16_000  # Hz


class AudioCollector:
    """Joins decoded sound frames to one array: the mean of the channels, 16 kHz, [-1, 1], no NaN.

    ffmpeg's own conversion from stereo to mono adds the channels at 0.707 each, which makes speech 3 dB louder and
    clips it; so channels are averaged here. More than two channels are first mixed to stereo by ffmpeg's matrix.
    """

    def __init__(self, max_seconds: float = 0.0, margin: float = 1.0) -> None:
        """max_seconds: more is refused, 0 for no limit; margin: by how much the limit may be exceeded (a factor)."""
        self._max_seconds = max_seconds
        self._most = max_seconds * margin * SAMPLE_RATE
        self._resampler: av.AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None
        self._parts: list[np.ndarray] = []
        self.size = 0  # samples so far

    def add(self, frame: av.AudioFrame) -> None:
        """Takes the next frame. A stream may change its layout or rate in the middle.

        Raises `UnreadableMedia` for a rate that no sound has, `TooLarge` above the limit; both before it resamples, by
        which a few bytes can become gigabytes.
        """
        check_rate(frame.sample_rate)
        coming = frame.samples * SAMPLE_RATE / frame.sample_rate
        self._check(self.size + coming - SAMPLE_RATE)  # a second less: the resampler holds some back
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or kind != self._kind:
            self._flush()
            layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
            self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=SAMPLE_RATE)
            self._kind = kind
        self._take(self._resampler.resample(frame))
        self._check(self.size)

    def finish(self) -> np.ndarray:
        """(samples,) float32."""
        self._flush()
        samples = np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)
        return np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1.0, 1.0)

    def _check(self, size: float) -> None:
        if self._max_seconds and size > self._most:
            raise TooLarge(f"the sound is longer than {self._max_seconds:g} seconds")

    def _flush(self) -> None:
        if self._resampler is not None:
            self._take(self._resampler.resample(None))
            self._resampler = None

    def _take(self, pieces: list[av.AudioFrame]) -> None:
        for piece in pieces:
            self._parts.append(piece.to_ndarray().mean(axis=0, dtype=np.float32))
            self.size += self._parts[-1].size


def decode_audio(source: Source, *, max_seconds: float = 0.0) -> np.ndarray:
    """The first sound track as (samples,) float32 at 16 kHz; all channels mixed to one.

    Raises `UnreadableMedia`, `MissingStream` (no sound track) or `TooLarge` (0 means no limit).
    """
    collector = AudioCollector(max_seconds)
    with open_media(source) as container:
        if not container.streams.audio:
            raise MissingStream("the file has no sound track")
        check_codec(container.streams.audio[0])
        track = container.streams.audio[0]
        track.codec_context.options = sound_limit(track)
        for frame in container.decode(container.streams.audio[0]):
            collector.add(frame)
        return collector.finish()


def encode_wav(samples: np.ndarray) -> bytes:
    """A 16-bit WAV file of (samples,) float32 at 16 kHz."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()

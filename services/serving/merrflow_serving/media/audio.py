"""Decoding of sound to what speech models take: 16 kHz, mono, float32 in [-1, 1]."""

from __future__ import annotations

import io
import wave

import av
import numpy as np

from merrflow_serving.errors import MissingStream, TooLarge
from merrflow_serving.media.video import Source, open_media

SAMPLE_RATE = 16_000  # Hz


class AudioCollector:
    """Turns decoded sound frames into one array: mixed to mono, 16 kHz, [-1, 1], no NaN."""

    def __init__(self) -> None:
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        self._parts: list[np.ndarray] = []
        self.size = 0  # samples so far

    def add(self, frame: av.AudioFrame | None) -> None:
        """Takes the next frame; None flushes."""
        for piece in self._resampler.resample(frame):
            self._parts.append(piece.to_ndarray()[0])
            self.size += self._parts[-1].size

    def finish(self) -> np.ndarray:
        """(samples,) float32."""
        if self._parts:  # a resampler that saw no frame cannot be flushed
            self.add(None)
        samples = np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)
        return np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1.0, 1.0)


def decode_audio(source: Source, *, max_seconds: float = 0.0) -> np.ndarray:
    """The first sound track as (samples,) float32 at 16 kHz; all channels mixed to one.

    Raises `UnreadableMedia`, `MissingStream` (no sound track) or `TooLarge` (0 means no limit).
    """
    collector = AudioCollector()
    with open_media(source) as container:
        if not container.streams.audio:
            raise MissingStream("the file has no sound track")
        for frame in container.decode(container.streams.audio[0]):
            collector.add(frame)
            if max_seconds and collector.size > max_seconds * SAMPLE_RATE:
                raise TooLarge(f"the sound is longer than {max_seconds:g} seconds")
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

"""Decoding of sound to what speech models take: 16 kHz, mono, float32 in [-1, 1]."""

from __future__ import annotations

import io
import wave

import av
import numpy as np

from merrflow_serving.errors import MissingStream, TooLarge
from merrflow_serving.media.video import Source, open_media

SAMPLE_RATE = 16_000  # Hz


def decode_audio(source: Source, *, max_seconds: float = 0.0) -> np.ndarray:
    """The first sound track as (samples,) float32 at 16 kHz; all channels mixed to one.

    Raises `UnreadableMedia`, `MissingStream` (no sound track) or `TooLarge` (0 means no limit).
    """
    with open_media(source) as container:
        if not container.streams.audio:
            raise MissingStream("the file has no sound track")
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        parts: list[np.ndarray] = []
        total = 0
        for frame in container.decode(container.streams.audio[0]):
            for piece in resampler.resample(frame):
                parts.append(piece.to_ndarray()[0])
                total += parts[-1].size
            if max_seconds and total > max_seconds * SAMPLE_RATE:
                raise TooLarge(f"the sound is longer than {max_seconds:g} seconds")
        for piece in resampler.resample(None):
            parts.append(piece.to_ndarray()[0])
    samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    return np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1.0, 1.0)


def encode_wav(samples: np.ndarray) -> bytes:
    """A 16-bit WAV file of (samples,) float32 at 16 kHz."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()

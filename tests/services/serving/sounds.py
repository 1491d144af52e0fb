"""Makes clips whose sound is of any kind: several tracks, clocks, layouts and formats of samples."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.stream import Disposition

from merrflow_serving.media.audio import SAMPLE_RATE

RATE = 25


@dataclass(frozen=True)
class Piece:
    """Sound from `time` on, in seconds on the container's clock; None: without a time."""

    time: float | None
    channels: np.ndarray  # (channels, samples) in [-1, 1]


@dataclass(frozen=True)
class Track:
    pieces: Sequence[Piece]
    layout: str = "mono"
    rate: int = SAMPLE_RATE
    codec: str = "pcm_s16le"
    language: str = ""
    flags: Disposition = Disposition.default


def burst(seconds: float, *, at: float = 0.0, long: float = 0.2, level: float = 0.5, hertz: float = 1000.0):
    """(samples,) silence with a tone of `long` seconds from `at` on."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.where((time >= at) & (time < at + long), level * np.sin(2 * np.pi * hertz * time), 0.0).astype(np.float32)


def voice(seconds: float = 2.0, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """(samples,) noise in the band of speech, in syllables, with this root mean square."""
    random = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(random.normal(size=count))
    hertz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    spectrum[(hertz < 300) | (hertz > 3000)] = 0
    made = np.fft.irfft(spectrum, count) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * np.arange(count) / SAMPLE_RATE))
    return (level * made / rms(made)).astype(np.float32)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def onset(samples: np.ndarray) -> float:
    """Seconds to the first sample that is heard."""
    heard = np.abs(samples) > 0.1
    return float(np.argmax(heard)) / SAMPLE_RATE if heard.any() else float("nan")


def clip(*tracks: Track, form: str = "matroska", picture: Sequence[float] | None = None, codec: str = "mjpeg") -> bytes:
    """A film with these tracks. picture: the times of its pictures in seconds; None for sound alone."""
    buffer = io.BytesIO()
    # Nothing is moved on the clock, and nothing waits for its turn.
    options = {"avoid_negative_ts": "disabled", "max_interleave_delta": "0"}
    with av.open(buffer, "w", format=form, options=options) as container:
        packets: list[av.Packet] = []
        video = None
        if picture is not None:
            video = container.add_stream(codec, rate=RATE)
            video.width, video.height = 32, 32
            video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            video.codec_context.time_base = Fraction(1, 1000)
        streams = []
        for track in tracks:
            stream = container.add_stream(track.codec, rate=track.rate, layout=track.layout)
            stream.disposition = track.flags
            if track.language:
                stream.metadata["language"] = track.language
            streams.append(stream)
        for time in picture or ():
            image = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), format="rgb24")
            image.pts, image.time_base = round(1000 * time), Fraction(1, 1000)
            packets += video.encode(image)
        packets += video.encode() if video else []
        for track, stream in zip(tracks, streams, strict=True):
            packets += _encoded(track, stream)
        packets.sort(key=lambda packet: float((packet.dts or 0) * packet.time_base))
        for packet in packets:
            container.mux(packet)
    return buffer.getvalue()


def _encoded(track: Track, stream: av.AudioStream) -> list[av.Packet]:
    """Each piece in frames of 20 ms (PCM) or as the encoder has them; the times are written into the packets."""
    packets = []
    for piece in track.pieces:
        step = track.rate // 50
        for start in range(0, piece.channels.shape[1], step):
            part = piece.channels[:, start : start + step]
            packed = stream.format.is_packed
            data = np.ascontiguousarray(_typed(part, stream.format.name))
            frame = av.AudioFrame.from_ndarray(
                data.T.reshape(1, -1) if packed else data, format=stream.format.name, layout=track.layout
            )
            frame.sample_rate, frame.time_base = track.rate, Fraction(1, track.rate)
            if piece.time is not None:
                frame.pts = round(piece.time * track.rate) + start
            packets += stream.encode(frame)
    return packets + stream.encode()


def _typed(part: np.ndarray, name: str) -> np.ndarray:
    kind = name.removesuffix("p")
    if kind == "u8":
        return (part * 127 + 128).round().astype(np.uint8)
    if kind in ("flt", "dbl"):
        return part.astype(np.float32 if kind == "flt" else np.float64)
    kinds = {"s16": np.int16, "s32": np.int32}
    return (part.astype(np.float64) * (np.iinfo(kinds[kind]).max)).round().astype(kinds[kind])

"""Films for tests of the picture: several tracks, display matrices, HDR, damage. Written with PyAV."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition


@dataclass(frozen=True)
class Track:
    """One video track of grey pictures, whose brightness says which track it is."""

    count: int
    size: tuple[int, int] = (96, 64)  # width, height
    codec: str = "libx264"
    disposition: Disposition = field(default_factory=lambda: Disposition.default)
    grey: int = 128


def many_tracks(path: Path, tracks: Sequence[Track], *, sound: bool = True) -> Path:
    """A film with these video tracks, in this order, at 25 frames a second."""
    with av.open(str(path), "w") as container:
        streams = []
        for track in tracks:
            stream = container.add_stream(track.codec, rate=25)
            stream.width, stream.height = track.size
            stream.pix_fmt = {"mjpeg": "yuvj420p", "png": "rgb24"}.get(track.codec, "yuv420p")
            stream.disposition = track.disposition
            streams.append(stream)
        audio = container.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for index in range(max(track.count for track in tracks)):
            for track, stream in zip(tracks, streams, strict=True):
                if index < track.count:
                    picture = np.full((track.size[1], track.size[0], 3), track.grey, np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            if audio is not None:
                wave = av.AudioFrame.from_ndarray(np.zeros((1, 640), np.float32), format="fltp", layout="mono")
                wave.sample_rate, wave.pts = 16_000, 640 * index
                container.mux(audio.encode(wave))
        for stream in [*streams, *([audio] if audio is not None else [])]:
            container.mux(stream.encode())
    return path


def encoded(
    pictures: Iterable[np.ndarray],
    *,
    format: str = "mp4",
    rotation: int = 0,
    flips: tuple[bool, bool] = (False, False),
    pixel_ratio: Fraction | None = None,
    key_frames: int = 12,
) -> bytes:
    """A film of (height, width, 3) RGB pictures. flips: across, down."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format) as container:
        stream = None
        for picture in pictures:
            if stream is None:
                stream = container.add_stream("libx264", rate=25, options={"g": str(key_frames), "crf": "12"})
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                if rotation or any(flips):
                    stream.set_display_rotation(rotation, hflip=flips[0], vflip=flips[1])
                if pixel_ratio is not None:
                    stream.sample_aspect_ratio = pixel_ratio
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def damaged(data: bytes, first: int, count: int, *, seed: int = 0) -> bytes:
    """The film with `count` packets from number `first` on overwritten by random bytes."""
    with av.open(io.BytesIO(data)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    source, spoiled = random.Random(seed), bytearray(data)
    for position, size in places[first : first + count]:
        spoiled[position : position + size] = source.randbytes(size)
    return bytes(spoiled)

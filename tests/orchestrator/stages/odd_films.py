"""Films with one odd thing each, made with PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SAMPLE_RATE = 16_000


def corner(width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8 RGB: dark, with a bright upper left quarter, so that every turn shows."""
    image = np.full((height, width, 3), 30, np.uint8)
    image[: height // 2, : width // 2] = 220
    return image


def brightest(image: np.ndarray) -> str:
    """Which quarter of a picture is the brightest: such as "top left"."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    quarters = {
        "top left": image[:height, :width],
        "top right": image[:height, width:],
        "bottom left": image[height:, :width],
        "bottom right": image[height:, width:],
    }
    return max(quarters, key=lambda name: float(quarters[name].mean()))


def film(
    path: Path,
    images: Iterable[np.ndarray],
    *,
    rate: int = 25,
    pixels: str = "yuv420p",
    codec: str = "libx264",
    times: Callable[[int], float] | None = None,
    tones: tuple[float, ...] = (),
    setup: Callable[[av.VideoStream], None] = lambda stream: None,
    options: dict[str, str] | None = None,
) -> Path:
    """times: seconds of each frame, where the rate does not give them. tones: the Hz of one sound track each."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream, tracks, seconds = None, [], 0.0
        for index, image in enumerate(images):
            if stream is None:
                stream = container.add_stream(codec, rate=rate)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = pixels
                if codec == "libx264":
                    stream.options = {"preset": "ultrafast", "bf": "0"}
                if times:
                    stream.codec_context.time_base = Fraction(1, 1000)
                setup(stream)
                tracks = [container.add_stream("aac", rate=SAMPLE_RATE, layout="mono") for _ in tones]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times:
                frame.pts, frame.time_base = round(1000 * times(index)), Fraction(1, 1000)
            container.mux(stream.encode(frame))
            seconds = (index + 1) / rate
        container.mux(stream.encode())
        for track, tone in zip(tracks, tones, strict=True):
            time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
            wave = (0.3 * np.sin(2 * np.pi * tone * time)).astype(np.float32)[None]
            sound = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            sound.sample_rate = SAMPLE_RATE
            container.mux(track.encode(sound))
            container.mux(track.encode())
    return path


def turn(path: Path, degrees: int) -> Path:
    """Sets the rotation of an MP4's picture in its track header (ISO 14496-12, 8.3.2): a player turns it clockwise."""
    a, b = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    data = bytearray(path.read_bytes())
    one = (1 << 16).to_bytes(4, "big")
    place = data.index(one + bytes(12) + one, data.index(b"tkhd"))
    matrix = (a, b, 0, -b, a)
    data[place : place + 20] = b"".join((value << 16).to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(bytes(data))
    return path


def set_duration(path: Path, seconds: int, between: int) -> Path:
    """Rewrites an MP4's header: its length in seconds, and the time from frame to frame in the track's own ticks."""
    data = bytearray(path.read_bytes())
    for box in (b"mvhd", b"mdhd"):
        scale = data.index(box) + 4 + 12  # behind version, flags and two dates; then comes the length
        ticks = seconds * int.from_bytes(data[scale : scale + 4], "big")
        data[scale + 4 : scale + 8] = ticks.to_bytes(4, "big")
        if box == b"mvhd" and ticks:
            shown = data.index(b"elst") + 4 + 4 + 4  # behind version and number of entries
            data[shown : shown + 4] = ticks.to_bytes(4, "big")
    table = data.index(b"stts") + 4 + 4 + 4 + 4  # behind version, number of entries, frames of the first entry
    data[table : table + 4] = between.to_bytes(4, "big")
    path.write_bytes(bytes(data))
    return path

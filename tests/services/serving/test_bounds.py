"""A header that asks for gigabytes gets a refusal instead, measured as memory of a process."""

from __future__ import annotations

import io
import json
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import av
import numpy as np
import pytest

from merrflow_serving.errors import TooLarge, UnreadableMedia
from merrflow_serving.media.audio import SAMPLE_RATE, AudioCollector, decode_audio
from merrflow_serving.media.images import decode_image
from tests.services.serving.sounds import Piece, Track, clip

MOST_MIB = 60  # above what the process had; each of the files below took 82 MiB to 1.2 GiB, or more than there is
CHILD = """
import json, resource, sys
from pathlib import Path
from merrflow.stages.probe import decode
from merrflow_serving.errors import MerrflowError
from merrflow_serving.media.audio import decode_audio
from merrflow_serving.media.images import decode_image
from merrflow_serving.media.video import read_frames

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

READ = {
    "sound": lambda path: decode_audio(path.read_bytes(), max_seconds=600),
    "image": lambda path: decode_image(path.read_bytes(), max_pixels=40_000_000),
    "frame": lambda path: read_frames(path, {0}),
    "film": lambda path: decode(path, max_seconds=600, max_pixels=7680 * 4320),
}
paths = [Path(text) for text in sys.argv[1:]]
first = True
for path in paths:
    try:
        READ[path.suffix[1:]](path)
        found = "read"
    except MerrflowError as error:
        found = f"{type(error).__name__}: {error}"
    if first:  # a file that is read loads what all others need
        before, first = peak(), False
    print(json.dumps([path.name, found, peak() - before]), flush=True)
"""


def flac(rate: int, samples: int, container: str = "flac") -> bytes:
    """Silence, with as much of it in a frame as FLAC can have."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream("flac", rate=rate, layout="mono")
        stream.codec_context.options = {"frame_size": "65535"}
        frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def wav(rate: int, samples: int = 16_000, channels: int = 1) -> bytes:
    data = bytes(2 * samples * channels)
    width = 2 * channels
    kind = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * width & 0xFFFFFFFF, width, 16)
    return (
        b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + kind + b"data" + struct.pack("<I", len(data)) + data
    )


def png(width: int, height: int) -> bytes:
    """Grey, all black."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes((width + 1) * height))) + chunk(b"IEND", b"")
    )


def gif(width: int, height: int) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00;"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF0, 0, 0) + b"\0\0\0\xff\xff\xff" + frame


def with_cover(sound: bytes, cover: bytes) -> bytes:
    """FLAC with a picture block behind the first block, of 4 + 34 bytes."""
    block = struct.pack(">II9sI", 3, 9, b"image/png", 0) + struct.pack(">IIIII", 16, 16, 8, 0, len(cover)) + cover
    at = 4 + 4 + 34
    return sound[:at] + struct.pack(">I", 6 << 24 | len(block)) + block + sound[at:]


def silence(seconds: float, pieces: int = 2) -> bytes:
    """A few milliseconds of sound here and there, with hours of nothing between or before them."""
    parts = [Piece(number * seconds, np.zeros((1, 960))) for number in range(pieces)]
    return clip(Track(parts), picture=[0.0, 0.04])


def late(seconds: float, picture: float = 0.0) -> bytes:
    """Sound that begins hours after the picture, or hours before it."""
    return clip(Track([Piece(seconds, np.zeros((1, 320)))]), picture=[picture, picture + 0.04])


FILES = {
    "fine.image": (lambda: png(640, 480), "read"),
    "fine.sound": (lambda: wav(1_000, 4_000), "read"),
    "1_hz.sound": (lambda: flac(1, 20_000), "UnreadableMedia: the sound has a rate of 1 Hz"),
    "1_hz_in_matroska.sound": (lambda: flac(1, 20_000, "matroska"), "UnreadableMedia: the sound has a rate of 1 Hz"),
    "999_hz.sound": (lambda: wav(999), "UnreadableMedia: the sound has a rate of 999 Hz"),
    "10_mhz.sound": (lambda: wav(10_000_019), "UnreadableMedia: the sound has a rate of 10000019 Hz"),
    "2_ghz.sound": (lambda: wav(2_000_000_000), "UnreadableMedia: the sound has a rate of 2000000000 Hz"),
    "500_channels.sound": (lambda: wav(16_000, 1_000, 500), "UnreadableMedia: the sound has 500 channels"),
    "an_hour.sound": (lambda: flac(1_000, 3_600_000), "TooLarge: the sound is longer than 600 seconds"),
    "hours_of_nothing.sound": (lambda: silence(36_000.0), "read"),
    "hours_in_pieces.sound": (lambda: silence(500.0, 100), "TooLarge: the sound is longer than 600 seconds"),
    "hours_late.sound": (lambda: late(36_000.0), "read"),
    "hours_early.sound": (lambda: late(0.0, 36_000.0), "read"),
    "hours_late.film": (lambda: late(36_000.0), "TooLarge: the clip is longer than 600 seconds"),
    "square.image": (lambda: png(12_000, 12_000), "TooManyPixels: a picture has more than 40000000 pixels"),
    "square.frame": (lambda: png(12_000, 12_000), "TooManyPixels: a picture has more than 33177600 pixels"),
    "square.film": (lambda: png(12_000, 12_000), "TooManyPixels: a picture has more than 33177600 pixels"),
    "line.image": (lambda: png(100_000_000, 1), "UnreadableMedia|TooLarge"),
    "screen.image": (lambda: gif(65_000, 65_000), "TooManyPixels: a picture has more than 40000000 pixels"),
    "cover.sound": (lambda: with_cover(flac(16_000, 16_000), png(12_000, 12_000)), "read"),
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, tuple[str, float]]:
    """What became of each file, and the peak of memory so far."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, (make, _) in FILES.items():
        (folder / name).write_bytes(make())
    command = [sys.executable, "-c", CHILD, *(str(folder / name) for name in FILES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: (found, mib) for name, found, mib in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", FILES)
def test_a_header_gets_no_memory_before_it_is_checked(measured, name):
    found, mib = measured[name]
    assert re.match(FILES[name][1], found), found
    assert mib < MOST_MIB


def test_rates_of_recordings_are_read():
    for rate in (1_000, 8_000, 11_025, 44_100, 192_000, 768_000):
        assert abs(decode_audio(wav(rate, rate)).size - SAMPLE_RATE) < 700, rate


def test_a_rate_that_changes_on_the_way_is_checked_too():
    collector = AudioCollector(max_seconds=2.0)

    def frame(rate: int, samples: int) -> av.AudioFrame:
        made = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.int16), format="s16", layout="mono")
        made.sample_rate = rate
        return made

    collector.add(frame(16_000, 16_000))
    with pytest.raises(UnreadableMedia, match="1 Hz"):
        collector.add(frame(1, 1_000))
    with pytest.raises(TooLarge, match="longer than 2 seconds"):
        collector.add(frame(1_000, 65_535))
    assert collector.size == 16_000  # nothing was resampled


def test_pictures_of_known_size_are_refused_by_their_size():
    with pytest.raises(TooLarge, match="640x480"):
        decode_image(png(640, 480), max_pixels=300_000)


def test_a_rate_that_changes_with_every_frame_is_refused():
    """Each change makes a new filter: 4 ms for the 14 bytes of such a frame of FLAC, which become no sound at all."""
    collector = AudioCollector(max_seconds=60)
    with pytest.raises(UnreadableMedia, match="changes its rate or channels more than 100 times"):
        for number in range(200):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 64), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 65_533 - 2 * (number % 2)
            collector.add(frame)
    assert number == 100

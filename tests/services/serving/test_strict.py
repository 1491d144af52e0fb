"""Damage of which a codec's usual decoder says nothing is found, and costs its frames only."""

from __future__ import annotations

import io
from collections.abc import Callable

import av
import numpy as np
import pytest

from merrflow_serving.media.video import iter_frames
from tests.services.serving.odd_containers import damaged

COUNT, KEY_FRAMES, FIRST = 36, 12, 15
CODECS = {
    "vp9": ("libvpx-vp9", "webm", {"deadline": "realtime", "cpu-used": "8", "b": "600k"}),
    "hevc": ("libx265", "mp4", {"preset": "ultrafast", "x265-params": "log-level=none"}),
    "mjpeg": ("mjpeg", "matroska", {}),
    "h264": ("libx264", "mp4", {}),
    "mpeg4": ("mpeg4", "avi", {}),
    "mpeg2": ("mpeg2video", "mpegts", {}),
    "av1": ("libsvtav1", "mp4", {"preset": "12"}),
    "vp8": ("libvpx", "webm", {"deadline": "realtime", "cpu-used": "8", "b": "600k"}),
}


def film(codec: str, change: Callable[[int, bytes], bytes] | None = None) -> bytes:
    """change: of a packet's number and bytes, in the order of the file, what is written instead of it."""
    encoder, format_name, options = CODECS[codec]
    small = np.random.default_rng(5).integers(0, 255, (8, 12, 3)).astype(np.uint8)
    large = np.kron(small, np.ones((16, 16, 1), np.uint8))
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format_name) as container:
        stream = container.add_stream(encoder, rate=25, options={"g": str(KEY_FRAMES), **options})
        stream.height, stream.width = large.shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        pictures = (np.roll(large, 2 * index, axis=1) for index in range(COUNT))
        frames = (av.VideoFrame.from_ndarray(picture, format="rgb24") for picture in pictures)
        packets = (packet for frame in [*frames, None] for packet in stream.encode(frame))
        for number, packet in enumerate(packets):
            container.mux(spoiled(packet, change(number, bytes(packet))) if change else packet)
    return buffer.getvalue()


def spoiled(packet: av.Packet, data: bytes) -> av.Packet:
    new = av.Packet(data)
    new.pts, new.dts, new.time_base, new.duration = packet.pts, packet.dts, packet.time_base, packet.duration
    new.is_keyframe, new.stream = packet.is_keyframe, packet.stream
    return new


def two(how: Callable[[bytes], bytes]) -> Callable[[int, bytes], bytes]:
    """Changes two packets in the middle."""
    return lambda number, data: how(data) if FIRST <= number < FIRST + 2 else data


def flipped(data: bytes) -> bytes:
    spoiled = bytearray(data)
    for place in range(len(data) // 3, len(data), 7):
        spoiled[place] ^= 0x5A
    return bytes(spoiled)


def zeroed(data: bytes) -> bytes:
    third = len(data) // 3
    return data[:third] + bytes(third) + data[2 * third :]


def cut(data: bytes) -> bytes:
    return data[: len(data) // 3]


def seen(source: bytes, threads: int = 0):
    """Frames by time, with whether they are marked; and how many packets are lost."""
    lost: list[int] = []
    frames = iter_frames(source, threads=threads, on_damage=lambda: lost.append(1))
    return {round(one.timestamp, 3): (one.image.astype(int), one.is_damaged) for one in frames}, len(lost)


TOLD = [name for name in CODECS if name not in ("vp8", "av1")]


@pytest.mark.parametrize("how", [flipped, zeroed, cut])
@pytest.mark.parametrize("codec", TOLD)
def test_damage_is_told_whatever_the_codec(codec, how):
    source = film(codec, two(how))
    for threads in (1, 0):
        frames, lost = seen(source, threads)
        assert lost or any(marked for _, marked in frames.values())
        assert COUNT - KEY_FRAMES <= len(frames) <= COUNT


@pytest.mark.parametrize("codec", ["vp9", "mjpeg"])
@pytest.mark.parametrize("how", [flipped, zeroed, cut])
def test_frames_that_are_not_marked_are_whole(codec, how):
    whole, _ = seen(film(codec))
    frames, lost = seen(film(codec, two(how)))
    for time, (picture, marked) in frames.items():
        assert marked or np.array_equal(picture, whole[time][0])
    assert len(frames) == COUNT - lost


@pytest.mark.parametrize("codec", list(CODECS))
def test_a_whole_film_has_no_damage(codec):
    frames, lost = seen(film(codec))
    assert len(frames) == COUNT and not lost and not any(marked for _, marked in frames.values())


def test_motion_jpeg_as_cameras_write_it_is_whole():
    for change in (lambda data: data[:-2], lambda data: data + bytes(40), lambda data: data + b"\xff\xff\xaa"):
        frames, lost = seen(film("mjpeg", lambda _, data, change=change: change(data)))
        assert len(frames) == COUNT and not lost and not any(marked for _, marked in frames.values())


def test_damage_is_told_of_av1():
    frames, lost = seen(damaged(film("av1"), FIRST, 2))  # ffmpeg writes no damaged AV1, so it is damaged in the file
    assert lost and COUNT - KEY_FRAMES <= len(frames) < COUNT


def test_of_vp8_a_damaged_beginning_is_told():
    frames, lost = seen(film("vp8", lambda number, data: data if number else flipped(data)))
    assert lost and len(frames) == COUNT - lost

"""Interlaced recordings are shown without combing; frames that are not interlaced stay as they are."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from merrflow_serving.media.decoding import decode
from merrflow_serving.media.video import iter_frames

STEP = 12  # pixels that a bar moves from frame to frame; half of it from field to field


def moving_bar(index: int, size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """(height, width, 3) RGB."""
    picture = np.full((size[1], size[0], 3), 40, np.uint8)
    for first in (0, 1):
        left = 20 + STEP * index + (STEP // 2 if first else 0)
        picture[first::2, left : left + 60] = 220
    return picture


def recording(
    format: str,
    codec: str,
    count: int = 10,
    *,
    rotation: int = 0,
    bf: int = 0,
    size: tuple[int, int] = (320, 240),
    interlaced: bool = True,
) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *size, "yuv420p", 8_000_000
        x264 = {"x264-params": f"interlaced=1:tff=1:bframes={bf}"}
        if interlaced:
            stream.options = x264 if codec == "libx264" else {"flags": "+ildct+ilme", "bf": str(bf)}
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moving_bar(index, size), format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def combing(image: np.ndarray) -> float:
    """How much each row differs from those above and below."""
    grey = image[..., 1].astype(int)
    return float(np.abs(2 * grey[1:-1] - grey[:-2] - grey[2:]).mean())


@pytest.mark.parametrize("bf", [0, 2])
@pytest.mark.parametrize(
    ("format", "codec"), [("mpegts", "mpeg2video"), ("mp4", "libx264"), ("matroska", "libx264"), ("mpegts", "libx264")]
)
def test_interlaced_frames_have_no_combing_and_keep_number_and_time(format, codec, bf):
    frames = list(iter_frames(recording(format, codec, bf=bf)))
    assert [frame.index for frame in frames] == list(range(10))
    assert [frame.timestamp for frame in frames] == pytest.approx([0.04 * index for index in range(10)], abs=1e-4)
    assert max(combing(frame.image) for frame in frames) < 2 < combing(moving_bar(3)) / 4
    for frame in frames[1:-1]:
        row = frame.image[120, :, 1].astype(int)
        assert abs(int(np.argmax(row > 130)) - (20 + STEP * frame.index)) <= STEP // 2 + 1
    assert all(frame.interlaced and frame.is_on_time and not frame.is_as_decoded for frame in frames)


def test_interlaced_frames_are_turned_as_others():
    frames = list(iter_frames(recording("mp4", "libx264", rotation=90)))
    assert {frame.size for frame in frames} == {(240, 320)}
    assert {frame.image.shape[:2] for frame in frames} == {(320, 240)}


def test_frames_that_are_not_interlaced_stay_as_they_are():
    film = recording("mpegts", "mpeg2video", count=6, interlaced=False)
    with av.open(io.BytesIO(film)) as container:
        own = [raw.to_ndarray(format="rgb24") for raw in container.decode(video=0)]
    frames = list(iter_frames(film))
    assert not any(frame.interlaced for frame in frames)
    for frame, picture in zip(frames, own, strict=True):
        np.testing.assert_array_equal(frame.image, picture)


@pytest.mark.parametrize("second", [(320, 240), (352, 288)])
def test_recordings_may_change_their_size_and_be_interlaced_in_part(second):
    film = recording("mpegts", "mpeg2video") + recording("mpegts", "mpeg2video", size=second)
    film += recording("mpegts", "mpeg2video", interlaced=False)
    frames = list(iter_frames(film))
    own = [(one.raw.width, one.raw.height, one.interlaced) for one in decode(film, 0, None, 1)]
    assert [(*frame.size, frame.interlaced) for frame in frames] == own
    assert len(own) >= 28 and {interlaced for *_, interlaced in own} == {True, False}
    assert max(combing(frame.image) for frame in frames if frame.interlaced) < 3


def test_one_interlaced_frame():
    assert len(list(iter_frames(recording("mpegts", "mpeg2video", count=1)))) == 1


def test_a_damaged_interlaced_recording_loses_no_more_frames_than_its_packets():
    film = bytearray(recording("matroska", "mpeg2video", count=20))
    middle = len(film) // 2
    film[middle : middle + 400] = bytes(range(200)) * 2
    frames = list(iter_frames(bytes(film), on_damage=lambda: None))
    assert 15 <= len(frames) <= 20

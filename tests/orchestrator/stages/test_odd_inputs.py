"""Odd films: each gives the right facts, or an error that says what is wrong."""

from __future__ import annotations

import resource
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from merrflow.core.measurements import Peak
from merrflow.stages.peak_frame import read_peak_frame
from merrflow.stages.probe import decode
from merrflow_openface_au.engines.openface.clip import inspect_clip
from merrflow_serving.errors import MerrflowError, TooLarge, UnreadableMedia
from merrflow_serving.media.images import decode_image
from merrflow_serving.media.video import iter_frames
from tests.orchestrator.stages.odd_films import brightest, corner, film, set_duration, turn

LIMITS = {"max_seconds": 60.0, "max_pixels": 7680 * 4320}


def peak_at(index: int) -> Peak:
    return Peak(index, 0.0, (), {}, (), 0.0, "")


def still(count: int, width: int = 96, height: int = 64):
    return (corner(width, height) for _ in range(count))


def test_a_variable_frame_rate_keeps_numbers_and_times(tmp_path):
    times = [0.0, 0.04, 0.08, 0.5, 0.54, 1.2, 1.24, 2.0]
    path = film(tmp_path / "vfr.mkv", still(8), times=times.__getitem__)
    probe = decode(path, **LIMITS).probe
    assert probe.frame_count == 8
    assert probe.fps == pytest.approx(7 / 2.0, abs=0.01)
    assert probe.seconds == pytest.approx(2.0 + 2 / 7, abs=0.02)
    assert [round(frame.timestamp, 2) for frame in iter_frames(path)] == times


# ISO 14496-12's matrix turns what is stored clockwise for display.
@pytest.mark.parametrize(("degrees", "where"), [(90, "top right"), (180, "bottom right"), (270, "bottom left")])
def test_turned_films_stand_upright_for_engines_and_in_the_peak_frame(tmp_path, degrees, where):
    path = turn(film(tmp_path / "turned.mp4", still(4)), degrees)
    size = (96, 64) if degrees == 180 else (64, 96)
    probe = decode(path, **LIMITS).probe
    assert (probe.width, probe.height) == size
    frame = read_peak_frame(path, probe, peak_at(1))
    image = decode_image(frame.image)
    assert image.shape[:2] == size[::-1] and brightest(image) == where
    seen = next(iter_frames(path))
    assert seen.size == size
    assert brightest(seen.image) == where and brightest(seen.scaled(48)) == where  # as openface-au's engines take it
    facts = inspect_clip(path, max_pixels=10**6, max_frames=100)
    assert (facts.width, facts.height, facts.needs_rewrite) == (*size, True)


@pytest.mark.parametrize(("width", "height"), [(97, 65), (1, 1), (2, 300), (333, 3), (17, 1080)])
def test_odd_sizes(tmp_path, width, height):
    path = film(tmp_path / "odd.mkv", still(6, width, height), codec="ffv1", pixels="bgr0")
    decoded = decode(path, **LIMITS)
    assert (decoded.probe.width, decoded.probe.height) == (width, height)
    image = decode_image(read_peak_frame(path, decoded.probe, peak_at(3)).image)
    assert image.shape == (height, width, 3)


def test_a_picture_too_wide_for_jpeg_is_refused_in_a_sentence(tmp_path):
    path = film(tmp_path / "ribbon.mkv", still(2, 70_000, 2), codec="ffv1", pixels="bgr0")
    probe = decode(path, **LIMITS).probe
    with pytest.raises(TooLarge, match="70000x2 cannot be written as JPEG"):
        read_peak_frame(path, probe, peak_at(0))


@pytest.mark.parametrize("pixels", ["yuv420p10le", "yuv422p10le", "yuv444p", "gray"])
def test_depths_and_subsamplings(tmp_path, pixels):
    path = film(tmp_path / "deep.mkv", still(4), codec="ffv1", pixels=pixels)
    probe = decode(path, **LIMITS).probe
    image = decode_image(read_peak_frame(path, probe, peak_at(2)).image)
    assert brightest(image) == "top left"
    assert abs(int(image[8, 8].mean()) - 220) < 12 and abs(int(image[60, 90].mean()) - 30) < 12


@pytest.mark.parametrize("transfer", ["SMPTE2084", "ARIB_STD_B67"])
def test_hdr_is_read_as_it_is_stored(tmp_path, transfer):
    """No tone mapping: PQ and HLG pictures come out flat, but with everything in its place."""

    def tag(stream: av.VideoStream) -> None:
        context = stream.codec_context
        context.color_trc = getattr(av.video.reformatter.ColorTrc, transfer)
        context.color_primaries = av.video.reformatter.ColorPrimaries.BT2020
        context.colorspace = av.video.reformatter.Colorspace.BT2020

    path = film(tmp_path / "hdr.mkv", still(4), codec="ffv1", pixels="yuv420p10le", setup=tag)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.color_trc == getattr(av.video.reformatter.ColorTrc, transfer)
    probe = decode(path, **LIMITS).probe
    assert probe.frame_count == 4
    assert brightest(decode_image(read_peak_frame(path, probe, peak_at(1)).image)) == "top left"


def test_8k_is_taken_up_to_the_limit_and_refused_beyond(tmp_path):
    path = film(tmp_path / "8k.mp4", still(1, 7680, 4320))
    probe = decode(path, **LIMITS, with_text=False).probe
    assert (probe.width, probe.height, probe.frame_count) == (7680, 4320, 1)
    with pytest.raises(TooLarge, match="a frame of 7680x4320 has more than 8294400 pixels"):
        decode(path, max_seconds=60, max_pixels=3840 * 2160)


def test_a_header_that_lies_about_the_size_takes_no_memory(tmp_path):
    """The container says 96x64; the pictures within are larger than allowed."""
    path = film(tmp_path / "lie.mkv", still(3, 640, 480), codec="mjpeg", pixels="yuvj420p")
    data = path.read_bytes()
    place = data.index(b"\xb0")  # PixelWidth, PixelHeight (Matroska)
    size = data.index(b"\xb0\x82\x02\x80\xba\x82\x01\xe0", place)
    path.write_bytes(data[:size] + b"\xb0\x82\x00\x60\xba\x82\x00\x40" + data[size + 8 :])
    with pytest.raises(MerrflowError):
        decode(path, max_seconds=60, max_pixels=10_000)


def test_240_frames_a_second(tmp_path):
    probe = decode(film(tmp_path / "fast.mp4", still(240), rate=240), **LIMITS).probe
    assert (probe.frame_count, probe.fps, probe.seconds) == (240, 240.0, 1.0)


def test_of_several_sound_tracks_the_first_is_taken(tmp_path):
    path = film(tmp_path / "two.mkv", still(50), tones=(440.0, 1760.0))
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 2
    sound = decode(path, **LIMITS).audio[8_000:24_000]
    assert np.argmax(np.abs(np.fft.rfft(sound))) == pytest.approx(440, abs=3)


def test_without_timestamps_the_rate_counts(tmp_path):
    path = tmp_path / "raw.h264"
    film(path, still(30))
    probe = decode(path, **LIMITS).probe
    assert probe.frame_count == 30
    assert probe.seconds == pytest.approx(30 / 25, abs=0.05)


def test_frames_that_all_claim_the_same_time_come_to_an_end(tmp_path):
    path = set_duration(film(tmp_path / "same.mp4", still(200, 32, 32)), seconds=0, between=0)
    with pytest.raises(TooLarge, match=r"longer than 0\.1 seconds"):  # for times ascend, whatever frames claim
        decode(path, max_seconds=0.1, max_pixels=10**6)


def _frame(image: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(image, format="rgb24")


def test_four_hours_are_refused_by_the_header(tmp_path):
    """A sparse file of 8 GB whose header promises 4 hours."""
    path = set_duration(film(tmp_path / "long.mp4", still(25)), seconds=4 * 3600, between=4 * 512 * 3600)
    with path.open("r+b") as file:
        file.truncate(8 << 30)
    _refused_at_once(path)


def test_four_hours_are_refused_where_the_header_tells_nothing(tmp_path):
    """A second of video, then a frame four hours later: the container has no duration."""
    times = {"times": lambda index: index / 25 if index < 25 else 4 * 3600.0}
    path = film(tmp_path / "long.mkv", still(26), options={"live": "1"}, **times)
    _refused_at_once(path)


def test_four_hours_of_sound_under_a_second_of_picture_are_refused(tmp_path):
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w", options={"live": "1"}) as container:
        video = container.add_stream("mjpeg", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuvj420p"
        audio = container.add_stream("pcm_s16le", rate=8_000, layout="mono")
        for index in range(2):  # a single picture would be a cover
            picture = _frame(corner(32, 32))
            picture.pts = index
            container.mux(video.encode(picture))
        container.mux(video.encode())
        for second in range(120):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 8_000), np.int16), format="s16", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = 8_000, 8_000 * second, Fraction(1, 8_000)
            container.mux(audio.encode(sound))
    with pytest.raises(TooLarge, match="longer than 60 seconds"):
        decode(path, **LIMITS)


def _refused_at_once(path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    with pytest.raises(TooLarge, match="longer than 60 seconds"):
        decode(path, **LIMITS)
    assert time.process_time() - started < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_the_size_may_change_on_the_way(tmp_path):
    """As in recordings of television. The facts are those of the first frame, as openface-au has them."""
    small = film(tmp_path / "small.ts", still(10, 96, 64)).read_bytes()
    large = film(tmp_path / "large.ts", still(10, 192, 128)).read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(small + large)
    decoded = decode(path, **LIMITS)
    assert (decoded.probe.width, decoded.probe.height) == (96, 64)
    assert decoded.probe.frame_count >= 18
    assert decode_image(read_peak_frame(path, decoded.probe, peak_at(decoded.probe.frame_count - 1)).image).size


@pytest.mark.parametrize("name", ["playlist.mp4", "concat.mp4", "session.mp4", "dash.mp4"])
def test_files_that_only_name_other_files_are_no_clips(tmp_path, name):
    film(tmp_path / "secret.ts", still(5))
    text = {
        "playlist.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.ts\n#EXT-X-ENDLIST\n",
        "concat.mp4": "ffconcat version 1.0\nfile secret.ts\n",
        "session.mp4": "v=0\nc=IN IP4 127.0.0.1\nm=video 5 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "dash.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    }[name]
    path = tmp_path / name
    path.write_text(text)
    for source in (path, text.encode()):
        with pytest.raises(UnreadableMedia, match="not a video, sound or image file"):
            list(iter_frames(source))


def test_a_name_with_a_pattern_is_one_picture(tmp_path):
    """ffmpeg's picture reader takes %d for a sequence of files."""
    for name in ("shot%d.jpg", "shot1.jpg", "shot2.jpg"):
        with av.open(str(tmp_path / "made.mkv"), "w") as container:
            stream = container.add_stream("mjpeg")
            stream.width, stream.height, stream.pix_fmt = 64, 48 if "%" in name else 96, "yuvj420p"
            packets = stream.encode(_frame(corner(stream.width, stream.height)))
            (tmp_path / name).write_bytes(b"".join(map(bytes, packets)))
            container.mux(packets)
    frames = list(iter_frames(tmp_path / "shot%d.jpg"))
    assert [frame.size for frame in frames] == [(64, 48)]

"""The probe on real files: whole ones pass whatever their container says, cut-off ones do not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from merrflow.core.measurements import Shot
from merrflow.stages.probe import decode
from merrflow_serving.errors import MissingStream, TooLarge, UnreadableMedia

LIMITS = {"max_seconds": 60.0, "max_pixels": 1_000_000}
RATE = 25


def noise(index: int) -> np.ndarray:
    """Pictures that do not compress, so that half of the bytes is about half of the film."""
    return np.random.default_rng(index).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def film(path: Path, *, frames: int = 100, image=noise, sound: bool = True, picture: bool = True, options=None) -> Path:
    """A 96x64 film at 25 fps with one tone, in the container that the suffix names."""
    with av.open(str(path), "w", options=options or {}) as container:
        if picture:
            video = container.add_stream("libx264", rate=RATE, options={"g": "50", "bf": "0"})
            video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        if sound:
            audio = container.add_stream("aac", rate=16_000, layout="mono")
        for index in range(frames):
            if picture:
                container.mux(video.encode(av.VideoFrame.from_ndarray(image(index), format="rgb24")))
            if sound:
                time = (np.arange(640) + 640 * index) / 16_000
                wave = (0.2 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)[None]
                frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 16_000, 640 * index
                container.mux(audio.encode(frame))
        if picture:
            container.mux(video.encode())
        if sound:
            container.mux(audio.encode())
    return path


def cut_without_encoding(source: Path, target: Path, seconds: float) -> Path:
    """As `ffmpeg -ss SECONDS -i SOURCE -c copy TARGET`: packets from the key frame before, in negative time."""
    with av.open(str(source)) as whole, av.open(str(target), "w", options={"avoid_negative_ts": "disabled"}) as part:
        video = whole.streams.video[0]
        out = part.add_stream_from_template(video)
        for packet in whole.demux(video):
            if packet.dts is None or packet.pts * video.time_base < seconds // 2 * 2:  # key frames every 2 s
                continue
            packet.pts -= round(seconds / video.time_base)
            packet.dts -= round(seconds / video.time_base)
            packet.stream = out
            part.mux(packet)
    return target


def half(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def test_a_cut_without_encoding_is_whole_though_the_header_counts_hidden_frames(tmp_path):
    part = cut_without_encoding(film(tmp_path / "whole.mp4", sound=False), tmp_path / "part.mp4", 3.0)
    with av.open(str(part)) as container:
        assert container.streams.video[0].frames == 50  # 25 of them lie before the edit list's start
    probe = decode(part, **LIMITS).probe
    assert (probe.frame_count, probe.seconds) == (25, 1.0)


CONTAINERS = [
    ("fast.mp4", {"movflags": "faststart"}),
    ("film.mkv", None),
    ("film.flv", None),
    ("film.avi", None),
]


@pytest.mark.parametrize(("name", "options"), CONTAINERS)
def test_half_a_file_is_cut_off_and_the_whole_is_not(tmp_path, name, options):
    path = film(tmp_path / name, options=options)
    probe = decode(path, **LIMITS).probe
    assert (probe.frame_count, probe.seconds) == (100, 4.0)
    with pytest.raises(UnreadableMedia, match=r"the file is cut off: only [12]\.\d of its 4\.\d seconds can be decod"):
        decode(half(path), **LIMITS)


def test_a_file_without_its_index_is_cut_off(tmp_path):
    with pytest.raises(UnreadableMedia, match="cut off"):
        decode(half(film(tmp_path / "index_at_the_end.mp4")), **LIMITS)


def test_a_file_that_promises_nothing_is_taken_as_it_is(tmp_path):
    path = half(film(tmp_path / "film.h264", sound=False))
    with av.open(str(path)) as container:
        assert container.duration is None
    assert 40 <= decode(path, **LIMITS).probe.frame_count <= 60


def test_sound_may_outlast_the_picture_in_a_container_that_only_knows_the_whole(tmp_path):
    path = tmp_path / "long_sound.flv"  # FLV has one duration for all tracks
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = container.add_stream("aac", rate=16_000, layout="mono")
        for index in range(25):
            container.mux(video.encode(av.VideoFrame.from_ndarray(noise(index), format="rgb24")))
        container.mux(video.encode())
        for index in range(100):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 640), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, 640 * index
            container.mux(audio.encode(frame))
        container.mux(audio.encode())
    probe = decode(path, **LIMITS).probe
    assert probe.seconds == 1.0
    assert probe.audio_seconds == pytest.approx(4.0, abs=0.2)


def test_a_slow_last_picture_lasts_as_long_as_it_says(tmp_path):
    path = tmp_path / "slides.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mjpeg", rate=RATE)
        video.width, video.height, video.pix_fmt = 96, 64, "yuvj420p"
        for index in range(2):
            for packet in video.encode(av.VideoFrame.from_ndarray(noise(index), format="rgb24")):
                packet.pts = packet.dts = packet.pts * 5 * RATE
                packet.duration = 5 * RATE
                container.mux(packet)
    assert decode(path, **LIMITS).probe.frame_count == 2


def test_a_rotation_flag_turns_the_size(tmp_path):
    upright, turned = film(tmp_path / "upright.mp4", frames=5, sound=False), tmp_path / "turned.mp4"
    data = bytearray(upright.read_bytes())
    # The track header's matrix: from the identity to a quarter turn (ISO 14496-12, 8.3.2).
    place = data.index((1 << 16).to_bytes(4, "big") + bytes(12), data.index(b"tkhd"))
    one, minus = (1 << 16).to_bytes(4, "big"), (-(1 << 16)).to_bytes(4, "big", signed=True)
    data[place : place + 20] = bytes(4) + one + bytes(4) + minus + bytes(4)
    turned.write_bytes(bytes(data))
    sizes = [(probe.width, probe.height) for probe in (decode(path, **LIMITS).probe for path in (upright, turned))]
    assert sizes == [(96, 64), (64, 96)]


def test_two_colours_are_two_shots(tmp_path):
    def image(index: int) -> np.ndarray:
        return np.full((64, 96, 3), (200, 30, 30) if index < 20 else (30, 30, 200), np.uint8)

    path = film(tmp_path / "two.mp4", frames=45, image=image)
    assert decode(path, **LIMITS).probe.shots == (Shot(0, 20), Shot(20, 45))


def test_one_frame(tmp_path):
    probe = decode(film(tmp_path / "one.mp4", frames=1, sound=False), **LIMITS).probe
    assert (probe.frame_count, probe.seconds, probe.shots) == (1, 0.04, (Shot(0, 1),))


def test_no_sound_track(tmp_path):
    decoded = decode(film(tmp_path / "mute.mp4", frames=5, sound=False), **LIMITS)
    assert decoded.audio is None and decoded.probe.audio_seconds is None


def test_sound_alone_is_no_clip(tmp_path):
    with pytest.raises(MissingStream, match="no video track"):
        decode(film(tmp_path / "sound.m4a", picture=False), **LIMITS)


def test_a_long_film_is_refused(tmp_path):
    with pytest.raises(TooLarge, match="longer than 2 seconds"):
        decode(film(tmp_path / "long.mp4"), max_seconds=2.0, max_pixels=1_000_000)


@pytest.mark.parametrize(("last", "limit"), [(599.0, 600.0), (8.0, 9.0), (0.5, 0.6)])
def test_the_length_that_is_recorded_is_the_length_that_is_checked(tmp_path, last, limit):
    """Three frames at 25 a second and one far behind: the mean rate makes that one last for minutes."""
    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, seconds in enumerate((0.0, 0.04, 0.08, last)):
            frame = av.VideoFrame.from_ndarray(noise(index), format="rgb24")
            frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    whole = round(last * 4 / 3, 3)
    assert decode(path, max_seconds=whole, max_pixels=1_000_000).probe.seconds == pytest.approx(whole, abs=0.002)
    with pytest.raises(TooLarge, match=f"longer than {limit:g} seconds"):
        decode(path, max_seconds=limit, max_pixels=1_000_000)

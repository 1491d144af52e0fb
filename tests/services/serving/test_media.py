"""Decoding: levels, layouts, rotation, numbering, and files that are not what they should be."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from merrflow_serving.errors import MissingStream, TooLarge, UnreadableMedia
from merrflow_serving.media.audio import SAMPLE_RATE, decode_audio, encode_wav
from merrflow_serving.media.images import decode_image, encode_jpeg
from merrflow_serving.media.png import encode_png
from merrflow_serving.media.video import iter_frames, read_frames

CLIP = Path(__file__).parents[3] / "examples" / "clips" / "good_news.mp4"


def sound(layout: str, rate: int = 48000, seconds: float = 1.0, level: float = 0.5) -> bytes:
    """A 440 Hz sine of that amplitude in every channel, lossless."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout=layout)
        tone = level * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
        channels = stream.layout.nb_channels
        data = np.repeat((tone * 32767).astype(np.int16)[None], channels, axis=0).T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format="s16", layout=layout)
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def film(frames: int = 10, size: tuple[int, int] = (64, 48), **options) -> bytes:
    """Frame n has the grey level 20 * n on the left half and black on the right."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            image = np.zeros((size[1], size[0], 3), np.uint8)
            image[:, : size[0] // 2] = 20 * number
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
@pytest.mark.parametrize("rate", [8000, 48000])
def test_sound_keeps_its_level_in_any_layout(layout, rate):
    samples = decode_audio(sound(layout, rate))
    assert samples.dtype == np.float32
    assert abs(samples.size - SAMPLE_RATE) < 200
    middle = samples[4000:12000]
    # ffmpeg's matrix from six channels to two is its own; it may only not clip here
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.02) or (layout == "5.1" and np.abs(middle).max() <= 1)


def test_wav_round_trip():
    samples = np.sin(np.arange(1600) / 10).astype(np.float32) * 0.3
    assert np.abs(decode_audio(encode_wav(samples)) - samples).max() < 1e-3
    assert decode_audio(encode_wav(np.zeros(0, np.float32))).size == 0


def test_sound_of_16_bits_comes_back_to_the_bit():
    levels = np.arange(-32768, 32768).astype(np.float32) / 32768
    assert np.array_equal(decode_audio(encode_wav(levels)), levels)


def test_rounding_has_no_bias_and_does_not_wrap():
    between = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.75, -0.75, 32767.4, 40000.0, -40000.0], np.float32) / 32768
    with wave.open(io.BytesIO(encode_wav(between))) as file:
        found = np.frombuffer(file.readframes(between.size), "<i2")
    assert found.tolist() == [0, 2, 2, 0, -2, 1, -1, 32767, 32767, -32768]


def test_what_a_service_hears_of_a_clip_is_what_ffmpeg_makes_of_it():
    """The loader of Qwen-Audio and Whisper asks ffmpeg for 16-bit sound at 16 kHz: the spectrogram is the same too."""
    with av.open(str(CLIP)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        frames = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
        theirs = np.concatenate([one.to_ndarray().ravel() for one in (*frames, *resampler.resample(None))])
    ours = decode_audio(encode_wav(decode_audio(CLIP.read_bytes()))) * 32768
    assert np.array_equal(ours, theirs[: ours.size]) and abs(ours.size - theirs.size) <= 1


def test_limits_on_length_and_size():
    with pytest.raises(TooLarge, match="longer than 0.5 seconds"):
        decode_audio(sound("mono"), max_seconds=0.5)
    with pytest.raises(TooLarge, match="more than 5 frames"):
        list(iter_frames(film(), max_frames=5))
    with pytest.raises(TooLarge, match="64x48"):
        list(iter_frames(film(), max_pixels=3000))


def test_missing_tracks_are_distinguished_from_unreadable_files():
    with pytest.raises(MissingStream, match="no sound track"):
        decode_audio(film())
    with pytest.raises(MissingStream, match="no video track"):
        list(iter_frames(sound("mono")))
    for data in (b"", b"plain text", b"\x00" * 4096, film()[:700]):
        with pytest.raises(UnreadableMedia):
            list(iter_frames(data))


def test_frames_are_numbered_from_zero_in_order_of_display():
    frames = list(iter_frames(film()))
    assert [frame.index for frame in frames] == list(range(10))
    assert [round(frame.timestamp, 3) for frame in frames] == [round(n / 25, 3) for n in range(10)]
    levels = [frame.image[24, 8, 0] for frame in frames]
    assert np.abs(np.array(levels, int) - 20 * np.arange(10)).max() <= 6


def test_single_frames_by_number():
    frames = read_frames(film(), {7, 2, 99})
    assert sorted(frames) == [2, 7]
    assert abs(int(frames[7].image[24, 8, 0]) - 140) <= 6


def test_scaled_frames_never_grow():
    frame = next(iter_frames(film()))
    assert frame.scaled(32).shape == (24, 32, 3)
    assert frame.scaled(500).shape == (48, 64, 3)


@pytest.mark.parametrize("size", [(1, 1), (20, 30), (97, 131)])
def test_a_png_keeps_every_pixel(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    png = encode_png(image)
    assert np.array_equal(decode_image(png), image)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), image)


def test_images():
    image = np.zeros((20, 30, 3), np.uint8)
    image[..., 0] = 200
    decoded = decode_image(encode_jpeg(image))
    assert decoded.shape == (20, 30, 3)
    assert abs(int(decoded[10, 10, 0]) - 200) < 5 and decoded[10, 10, 2] < 10
    with pytest.raises(TooLarge):
        decode_image(encode_jpeg(image), max_pixels=100)
    with pytest.raises(UnreadableMedia):
        decode_image(b"\xff\xd8 no jpeg")


def test_a_png_takes_little_more_than_the_usual_compression() -> None:
    sizes = []
    for clip in CLIP.parent.glob("*.mp4"):
        image = next(iter_frames(clip, threads=1)).image
        png = encode_png(image)
        assert np.array_equal(decode_image(png), image)
        usual = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 6])[1]
        sizes.append((len(png), usual.nbytes))
    assert sum(size for size, _ in sizes) < 1.15 * sum(usual for _, usual in sizes)

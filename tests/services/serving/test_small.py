"""The small picture that is made of every frame: means of what its pixels cover, made once, upright."""

from __future__ import annotations

from fractions import Fraction

import av
import av.filter
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Interpolation

from merrflow_serving.media.convert import Converter
from merrflow_serving.media.small import block_means, small_size
from merrflow_serving.media.video import SMALL, VideoFrame, iter_frames
from tests.services.serving.odd_containers import encoded

PLANAR = ["yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p"]
SIZES = [(640, 360), (641, 361), (322, 999), (1283, 719), (466, 31)]  # rows of which none ends where memory is aligned


def grey(picture: np.ndarray) -> VideoFrame:
    return VideoFrame(0, 0.0, av.VideoFrame.from_ndarray(np.repeat(picture[..., None], 3, axis=2), format="rgb24"))


@pytest.mark.parametrize("times", [2, 4, 8])
def test_each_pixel_is_the_mean_of_those_that_it_covers(times: int) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (90 * times, SMALL * times), np.uint8)
    means = picture.reshape(90, times, SMALL, times).mean(axis=(1, 3))
    assert abs(grey(picture).small[..., 0] - means).max() < 2


def test_it_is_made_once_and_a_small_frame_stays_as_it_is() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (48, 64), np.uint8)
    frame = grey(picture)
    assert frame.small is frame.small
    np.testing.assert_array_equal(frame.small, frame.image)


def drawn(width: int, height: int, form: str = "yuv420p", matrix: int = 2) -> av.VideoFrame:
    """Soft shapes with noise, without colours that RGB does not have. matrix: its number in H.273."""
    chance = np.random.default_rng(width)
    coarse = chance.uniform(60, 190, (9, 9, 3)).astype(np.float32)
    coarse = (coarse + coarse.mean(axis=2, keepdims=True)) / 2
    shapes = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    picture = (shapes + chance.normal(0, 4, (height, width, 1))).clip(0, 255).astype(np.uint8)
    raw = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=form)
    raw.colorspace = matrix
    return raw


def true_means(raw: av.VideoFrame, times: int) -> np.ndarray:
    """Of blocks of a BT.601 frame at full size, without any rounding."""
    width, height = raw.width, raw.height
    whole = []
    for plane in raw.planes:
        pixels = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width]
        across, down = round(width / plane.width), round(height / plane.height)
        whole.append(pixels.repeat(across, axis=1).repeat(down, axis=0)[:height, :width].astype(float))
    luma, blue, red = whole[0], whole[1] - 128, whole[2] - 128
    if not raw.format.name.startswith("yuvj"):
        luma, blue, red = (luma - 16) * 255 / 219, blue * 255 / 224, red * 255 / 224
    rgb = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=2)
    blocks = rgb[: height // times * times, : width // times * times]
    return blocks.reshape(height // times, times, width // times, times, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("levels", [ColorRange.UNSPECIFIED, ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize("matrix", [1, 2, 5, 6])
@pytest.mark.parametrize("form", PLANAR)
def test_colours_are_those_of_ffmpeg_by_matrix_and_range(form: str, matrix: int, levels: int) -> None:
    for colour in ((120, 100, 170), (60, 120, 140), (180, 150, 110), (128, 128, 128)):
        raw = av.VideoFrame(64, 64, form)
        for plane, level in zip(raw.planes, colour, strict=True):
            plane.update(bytes([level]) * plane.buffer_size)
        raw.colorspace, raw.color_range = matrix, levels
        found = block_means(raw, 4)
        expected = Converter().view(raw, 16, 16, Interpolation.AREA).astype(int)
        assert found is not None and abs(found - expected).max() <= 3  # ffmpeg cuts off what we round


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", PLANAR)
def test_pixels_are_means_whatever_the_size(form: str, size: tuple[int, int]) -> None:
    for times in (2, 4, 8, 16):
        raw = drawn(*size, form)
        found = block_means(raw, times)
        assert found is not None and found.shape == (size[1] // times, size[0] // times, 3)
        off = found - true_means(raw, times)
        assert (
            abs(off).max() <= 5 and abs(off).mean() <= 1.6
        )  # each halving rounds up, by a quarter of a level in the mean


@pytest.mark.parametrize("form", ["yuv420p10le", "gray", "nv12", "rgb24", "yuva420p", "yuv411p"])
def test_other_formats_are_scaled_by_ffmpeg_to_the_same_size(form: str) -> None:
    raw = drawn(640, 360, form, matrix=2)
    assert block_means(raw, 4) is None
    small = VideoFrame(0, 0.0, raw).small
    np.testing.assert_array_equal(small, Converter().view(raw, 160, 90, Interpolation.AREA))


def test_another_matrix_or_a_picture_upside_down_in_memory_is_left_to_ffmpeg() -> None:
    raw = drawn(640, 360)
    graph = av.filter.Graph()
    source, sink = (
        graph.add_buffer(width=640, height=360, format=raw.format, time_base=Fraction(1, 25)),
        graph.add("buffersink"),
    )
    graph.link_nodes(source, graph.add("vflip"), sink).configure()
    source.push(raw)
    flipped = sink.pull()
    assert isinstance(flipped, av.VideoFrame) and flipped.planes[0].line_size < 0
    assert block_means(flipped, 4) is None
    small = VideoFrame(0, 0.0, flipped).small
    assert abs(small.astype(int)[::-1] - VideoFrame(0, 0.0, raw).small).mean() < 3
    assert block_means(drawn(640, 360, matrix=9), 4) is None


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_small_pictures_are_upright(rotation: int) -> None:
    picture = drawn(640, 360).to_ndarray(format="rgb24")
    frame = next(iter_frames(encoded([picture], rotation=rotation)))
    right = np.rot90(true_means(frame.raw, 4), rotation // 90)
    assert frame.small.shape == right.shape and abs(frame.small - right).max() <= 3
    assert frame.small.flags.c_contiguous


@pytest.mark.parametrize(("longest", "small"), [(1, 1), (160, 160), (226, 226), (227, 113), (1920, 120), (7680, 120)])
def test_the_longer_side_is_about_as_wanted(longest: int, small: int) -> None:
    assert max(small_size(longest, 1, SMALL)[:2]) == max(small_size(1, longest, SMALL)[:2]) == small
    assert min(small_size(longest, 1, SMALL)[:2]) == 1
